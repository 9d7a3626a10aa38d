package dibs

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// target is where the service is.
type target struct {
	// text is the target in gRPC's form.
	text string
	// addresses are those of a list, HOST:PORT each; nil for all other targets, whose addresses gRPC finds.
	addresses []string
	// isLocal: nothing that is sent leaves this machine.
	isLocal bool
}

const targetForms = "write HOST:PORT, a list of them, dns:///HOST:PORT or unix:///PATH"

// listScheme is the scheme of a list's resolver.
const listScheme = "dibs-list"

// targetOf parses a target. An invalid one is an error now, and not "unreachable" forever.
func targetOf(text string) (target, error) {
	scheme, rest, hasScheme := strings.Cut(text, ":")
	isPath := hasScheme && (scheme == "unix" || scheme == "unix-abstract")
	isOther := hasScheme && scheme != "dns" && resolver.Get(scheme) != nil
	switch {
	case strings.Contains(text, "@") && !isPath && !isOther:
		// A password, perhaps, so the target is not repeated.
		return target{}, invalid("target: has a user or a password, or another @; " + targetForms)
	case strings.Contains(text, ",") && !strings.Contains(text, "/"):
		return listOf(text)
	case isPath:
		if strings.Trim(rest, "/") == "" {
			return target{}, noTarget(text, "names no path")
		}
		return target{text: text, isLocal: true}, nil
	case hasScheme && scheme == "dns":
		if authority, isNamed := strings.CutPrefix(rest, "//"); isNamed {
			_, rest, _ = strings.Cut(authority, "/")
		}
		return oneAddress(text, rest)
	case isOther:
		// A scheme that the application has registered.
		return target{text: text}, nil
	case strings.Contains(text, "://"):
		return target{}, noTarget(text, "gRPC does not know the scheme "+scheme)
	default:
		return oneAddress(text, text)
	}
}

func oneAddress(text, address string) (target, error) {
	isLocal, err := checkAddress(text, address)
	return target{text: text, isLocal: isLocal}, err
}

func listOf(text string) (target, error) {
	its := target{text: listScheme + ":///" + text, isLocal: true}
	for address := range strings.SplitSeq(text, ",") {
		isLocal, err := checkAddress(text, address)
		if err != nil {
			return target{}, err
		}
		its.addresses = append(its.addresses, address)
		its.isLocal = its.isLocal && isLocal
	}
	return its, nil
}

// checkAddress reports whether an address belongs to this machine.
func checkAddress(text, address string) (isLocal bool, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, noTarget(text, err.Error())
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return false, noTarget(text, fmt.Sprintf("the port %q is not a number from 1 to 65535", port))
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/@?#%[]") {
		return false, noTarget(text, fmt.Sprintf("%q is not a host", host))
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback(), nil
	}
	return host == "localhost", nil
}

func noTarget(text, because string) error {
	return invalid(fmt.Sprintf("target: %q cannot be read: %s; %s", text, because, targetForms))
}

// shown returns a target for the log: without the user and the password that a resolver of the application may take.
func shown(text string) string {
	scheme, rest, hasAuthority := strings.Cut(text, "://")
	at := strings.LastIndex(rest, "@")
	if !hasAuthority || strings.HasPrefix(scheme, "unix") || at < 0 {
		return text
	}
	return scheme + "://***" + rest[at:]
}

// resolver returns the resolver of a list; nil for all other targets.
func (t target) resolver() resolver.Builder {
	if t.addresses == nil {
		return nil
	}
	var state resolver.State
	for _, address := range t.addresses {
		host, _, _ := net.SplitHostPort(address)
		// A certificate belongs to the address, and not to the list.
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: address, ServerName: host}},
		})
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address, ServerName: host})
	}
	builder := manual.NewBuilderWithScheme(listScheme)
	builder.InitialState(state)
	return builder
}
