package dibs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

const password = "pa55word-of-mine"

// secretKeys returns private keys in each form that a variable may have.
func secretKeys(t *testing.T) []string {
	t.Helper()
	_, short, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range []any{short, long} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		encoded := base64.StdEncoding.EncodeToString
		all = append(all, text, strings.ReplaceAll(text, "\n", " "), strings.ReplaceAll(text, "\n", `\n`),
			encoded([]byte(text)), encoded(der), " "+encoded(der), base64.RawURLEncoding.EncodeToString(der))
	}
	return all
}

var secretTokens = []string{
	"my-secret-token",
	"dibs.my-secret-token",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWJzIn0.c2lnbmF0dXJlLW9mLW1pbmU",
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"q1W2e3R4t5Y6u7I8/o9P0aSdFgHjKlZxCvBnMqWeRtY=",
	"/q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZx",
	"/q1W2e3R4+t5Y6u7I8o9P0aSdFgHj=",
}

// refusal returns what a logger may print of the error of [New]: the text of all errors in its chain.
func refusal(t *testing.T, where string, options ...Option) string {
	t.Helper()
	var logged bytes.Buffer
	options = append(options, WithLogger(slog.New(slog.NewJSONHandler(&logged, nil))))
	its, err := New(where, options...)
	if err == nil {
		_ = its.Close()
		t.Fatal("it is taken")
	}
	var printed strings.Builder
	for at := err; at != nil; at = errors.Unwrap(at) {
		fmt.Fprintf(&printed, "%v %+v %#v\n", at, at, at)
	}
	return printed.String() + logged.String()
}

// silent checks that no piece of the secret is printed. An error may escape or cut what it repeats.
func silent(t *testing.T, printed, secret string) {
	t.Helper()
	for at := 0; at+12 <= len(secret); at++ {
		if strings.Contains(printed, secret[at:at+12]) {
			t.Errorf("%q is repeated: %s", secret[at:at+12], printed)
			return
		}
	}
}

func contains(t *testing.T, printed string, wanted ...string) {
	t.Helper()
	for _, it := range wanted {
		if !strings.Contains(printed, it) {
			t.Errorf("%q is not in %s", it, printed)
		}
	}
}

func TestASecretInPlaceOfItsPathIsNotRepeated(t *testing.T) {
	const here = "secrets_test.go"
	for name, test := range map[string]struct {
		option    func(string) Option
		variables []string
		tokens    []string
	}{
		"authorities": {WithTLSCA, []string{"DIBS_TLS_CA"}, nil},
		"certificate": {func(it string) Option { return WithTLSCertificate(it, here) }, []string{"DIBS_TLS_CERT", "DIBS_TLS_KEY"}, nil},
		"key":         {func(it string) Option { return WithTLSCertificate(here, it) }, []string{"DIBS_TLS_KEY", "DIBS_TLS_CERT"}, nil},
		"token":       {WithTokenFile, []string{"DIBS_TOKEN_FILE"}, secretTokens},
	} {
		t.Run(name, func(t *testing.T) {
			for _, secret := range append(secretKeys(t), test.tokens...) {
				wanted := []string{test.variables[0], "set the path of the file"}
				printed := refusal(t, "127.0.0.1:1", test.option(secret))
				contains(t, printed, wanted...)
				silent(t, printed, secret)
				for _, variable := range test.variables {
					t.Setenv(variable, here)
				}
				t.Setenv(test.variables[0], secret)
				printed = refusal(t, "127.0.0.1:1")
				contains(t, printed, wanted...)
				silent(t, printed, secret)
				for _, variable := range test.variables {
					t.Setenv(variable, "")
				}
			}
		})
	}
}

func TestAPathIsRepeated(t *testing.T) {
	for _, path := range []string{"/nowhere/tls.pem", "no-such.pem", "MyKeys/of this service/tls.pem"} {
		for _, option := range []Option{
			WithTLSCA(path), WithTLSCertificate(path, "go.mod"), WithTLSCertificate("go.mod", path),
		} {
			contains(t, refusal(t, "127.0.0.1:1", option), "open "+path+": no such file")
		}
	}
	for _, path := range []string{
		"/nowhere/dibs/token", "./no-such-token", "../no-such/token", "~/token", `C:\dibs\token`,
		"/nowhere/kubernetes.io/serviceaccount/9f86d081-884c-4d65-9a2f-eaa0c55ad015",
	} {
		contains(t, refusal(t, "127.0.0.1:1", WithTokenFile(path)), "open "+path+": no such file")
	}
}

// A connection of the caller's own needs no files, and they are not read.
func TestNoPrintOfAClientShowsAKey(t *testing.T) {
	secret := secretKeys(t)[0]
	t.Setenv("DIBS_TLS_KEY", secret)
	other, err := New("127.0.0.1:1", WithTLSCA(""), WithTLSCertificate("", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	client, err := New("", WithConn(other.link.conn))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		silent(t, fmt.Sprintf(format, client)+fmt.Sprintf(format, *client), secret)
	}
}

func TestNoErrorRepeatsAPasswordInTheTarget(t *testing.T) {
	user := "user:" + password
	for _, where := range []string{
		user + "@host:1", password + "@host:1", "https://" + user + "@host:1", "a:1," + user + "@b:2", user + "@host",
		"dns:///" + user + "@host:1", "dns://" + user + "@8.8.8.8/host:1", user + "/with@slash@host:1", "user@host:" + password,
	} {
		printed := refusal(t, where)
		contains(t, printed, "target: has a user or a password")
		silent(t, printed, password)
		t.Setenv("DIBS_TARGET", where)
		silent(t, refusal(t, ""), password)
	}
	client, err := New("unix:///" + filepath.Join(t.TempDir(), "dibs@1.sock"))
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
}

// A resolver of the application may take a password.
func TestAPasswordOfAnotherSchemeIsNotLogged(t *testing.T) {
	resolver.Register(manual.NewBuilderWithScheme("dibs-of-a-test"))
	where := "dibs-of-a-test://user:" + password + "@registry/dibs"
	silent(t, refusal(t, where, WithToken("token")), password)
	var logged bytes.Buffer
	client, err := New(where, WithLogger(slog.New(slog.NewJSONHandler(&logged, nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.presence.lost(errors.New("lost"))
	contains(t, logged.String(), "dibs-of-a-test://***@registry/dibs")
	silent(t, logged.String(), password)
}
