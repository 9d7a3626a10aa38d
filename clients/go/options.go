package dibs

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

const (
	defaultTarget = "127.0.0.1:50051"
	// defaultConnect: TCP repeats a lost first packet after one second.
	defaultConnect = 2 * time.Second
	// defaultLeaseHoldMax is longer than any rebuild that a caller waits for, and the service's own bound.
	defaultLeaseHoldMax = 10 * time.Minute
	// hostBytesMax leaves room for the process id within the contract's bound.
	hostBytesMax = 200
)

// Option is an option of a [Client].
type Option interface{ applyTo(*config) }

type config struct {
	target          string
	token           tokenSource
	tokenFault      error
	isInsecureToken bool
	tlsCA           string
	tlsCert         string
	tlsKey          string
	connect         time.Duration
	session         bool
	keyAffinity     bool
	holder          string
	hooks           Hooks
	tracer          trace.Tracer
	meters          metric.MeterProvider
	conn            grpc.ClientConnInterface
	log             *slog.Logger
	// near is nil without a near cache.
	near *NearCache
	// leaseHoldMax is the longest that one lease is extended.
	leaseHoldMax time.Duration
	// calls has the defaults of all calls.
	calls fetchOptions
}

type option func(*config)

func (o option) applyTo(c *config) { o(c) }

// WithConnectTimeout sets how long a connection may take before the service counts as unreachable, once for all calls
// and not for each. Default: 2 s.
func WithConnectTimeout(timeout time.Duration) Option {
	return option(func(c *config) { c.connect = timeout })
}

// WithSession sets whether all calls use one stream, with leases that end with this process. Default: true. If there
// can be no stream, calls are sent one by one.
func WithSession(session bool) Option { return option(func(c *config) { c.session = session }) }

// WithKeyAffinity gives a key the same replica in every process that sets it for the same target, in any language.
// Callers of a key then meet in one place, which saves reads of the store, and memory in the near caches of the
// service. A key that all processes want then loads one replica only. Default: each process has its own shares.
func WithKeyAffinity() Option { return option(func(c *config) { c.keyAffinity = true }) }

// WithHolder sets the name of this process in Explain and logs: at most 256 bytes. Default: host name and process id.
func WithHolder(holder string) Option { return option(func(c *config) { c.holder = holder }) }

// WithLogger sets where the client logs that the service cannot be reached, and that it is back. At level Debug it also
// logs faults of single keys, with the key. Default: [slog.Default].
func WithLogger(log *slog.Logger) Option { return option(func(c *config) { c.log = log }) }

// WithLeaseHoldMax sets the longest that one lease may be held, including all extensions, before the client treats it
// as lost. A hanging rebuild must not keep its key from all others. Default: 10 minutes.
func WithLeaseHoldMax(most time.Duration) Option {
	return option(func(c *config) { c.leaseHoldMax = most })
}

// WithHooks sets the hooks.
func WithHooks(hooks Hooks) Option { return option(func(c *config) { c.hooks = hooks }) }

// WithTracerProvider sets the provider of rebuilds' spans. Default: OpenTelemetry's global one, which does nothing
// unless the application has set one.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return option(func(c *config) {
		c.tracer = provider.Tracer(tracerName, trace.WithInstrumentationVersion(Version))
	})
}

// WithConn makes calls over conn instead of a connection to the target. [Client.Close] leaves it open. Use it for what
// [New] has no option for, such as interceptors, and for tests.
func WithConn(conn grpc.ClientConnInterface) Option { return option(func(c *config) { c.conn = conn }) }

// configOf returns the caller's options, and the environment's for the rest.
func configOf(target string, options []Option) config {
	c := config{
		target:       cmp.Or(target, os.Getenv("DIBS_TARGET"), defaultTarget),
		tlsCA:        os.Getenv("DIBS_TLS_CA"),
		tlsCert:      os.Getenv("DIBS_TLS_CERT"),
		tlsKey:       os.Getenv("DIBS_TLS_KEY"),
		connect:      defaultConnect,
		session:      true,
		leaseHoldMax: defaultLeaseHoldMax,
		holder:       defaultHolder(),
		calls:        fetchOptions{codec: jsonCodec{}},
	}
	c.setToken(os.Getenv("DIBS_TOKEN"))
	if path := os.Getenv("DIBS_TOKEN_FILE"); path != "" && c.token == nil {
		c.setTokenFile(path)
	}
	// It also works with one that the application sets later.
	WithTracerProvider(otel.GetTracerProvider()).applyTo(&c)
	WithMeterProvider(otel.GetMeterProvider()).applyTo(&c)
	for _, option := range options {
		option.applyTo(&c)
	}
	return c
}

func defaultHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host[:min(len(host), hostBytesMax)], os.Getpid())
}

// refused returns why no client is made.
func (c config) refused() error {
	// A function is first called for a call, because what it needs may come later.
	return firstOf(
		text("holder", c.holder),
		c.holderRefused(),
		bounds("connect_timeout_ms", named(c.connect), time.Millisecond),
		// Otherwise each rebuild would lose its lease at once, and the next one would begin.
		bounds("lease_hold_max_ms", named(c.leaseHoldMax), time.Millisecond),
		c.tokenFault,
		c.nearRefused(),
		coded(c.calls.codec),
	)
}

func (c config) holderRefused() error {
	if len(c.holder) > holderBytesMax {
		return invalid(fmt.Sprintf("holder: %d bytes is outside 0 to %d", len(c.holder), holderBytesMax))
	}
	return nil
}
