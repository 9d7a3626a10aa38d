package dibs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestTLSWithAuthoritiesOfTheCallers(t *testing.T) {
	certificate, key := selfSigned(t)
	security, err := credentials.NewServerTLSFromFile(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	fake := startFake(t, grpc.Creds(security))
	fake.getOrLock.will(hit("v"))
	over := func(options ...dibs.Option) (string, error) {
		options = append(options, dibs.WithCodec(raw{}), dibs.WithOnUnavailable(dibs.OnUnavailableFail))
		return dibs.Fetch(t.Context(), client(t, fake.target, options...), "k", returning(""), ttl)
	}
	value, err := over(dibs.WithTLSCA(certificate))
	want(t, value, err, "v")
	if _, err := over(); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: %v", err)
	}
	t.Setenv("DIBS_TLS_CA", certificate)
	value, err = over()
	want(t, value, err, "v")
}

// selfSigned writes a certificate of 127.0.0.1, which is its own authority, and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", private)
}

func TestAClientShowsItsCertificate(t *testing.T) {
	certificate, key := selfSigned(t)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	text, err := os.ReadFile(certificate)
	if err != nil || !authorities.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	fake := startFake(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	fake.getOrLock.will(hit("v"))
	ask := func(options ...dibs.Option) (string, error) {
		options = append(options, dibs.WithTLSCA(certificate), dibs.WithCodec(raw{}), dibs.WithOnUnavailable(dibs.OnUnavailableFail))
		return dibs.Fetch(t.Context(), client(t, fake.target, options...), "k", returning(""), ttl)
	}
	value, err := ask(dibs.WithTLSCertificate(certificate, key))
	want(t, value, err, "v")
	if _, err := ask(); status.Code(err) != codes.Unavailable {
		t.Errorf("without one: %v", err)
	}
	t.Setenv("DIBS_TLS_CERT", certificate)
	t.Setenv("DIBS_TLS_KEY", key)
	value, err = ask()
	want(t, value, err, "v")
}

// TestFilesOfTLSAreReadAgain: the client first has those of another authority, so that neither side takes the other.
func TestFilesOfTLSAreReadAgain(t *testing.T) {
	certificate, key := selfSigned(t)
	otherCertificate, otherKey := selfSigned(t)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(readFile(t, certificate))
	fake := startFake(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	fake.getOrLock.will(hit("v"))
	now := t.TempDir()
	path := func(name string) string { return filepath.Join(now, name) }
	put := func(name, from string) {
		t.Helper()
		if err := os.WriteFile(path(name), readFile(t, from), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("ca", otherCertificate)
	put("cert", otherCertificate)
	put("key", otherKey)
	its := client(t, fake.target, dibs.WithTLSCA(path("ca")), dibs.WithTLSCertificate(path("cert"), path("key")),
		dibs.WithCodec(raw{}), dibs.WithOnUnavailable(dibs.OnUnavailableFail))
	ask := func() error {
		_, err := dibs.Fetch(t.Context(), its, "k", returning(""), ttl)
		return err
	}
	refused := func(when string) {
		t.Helper()
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if err := ask(); status.Code(err) != codes.Unavailable {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	refused("with those of another authority")
	put("ca", certificate)
	put("cert", certificate)
	refused("with a certificate that does not fit its key")
	put("key", key)
	eventually(t, "those of now are used", func() bool { return ask() == nil })
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestATokenIsAskedForWithEachCall(t *testing.T) {
	fake := startFake(t)
	var sent []string
	fake.getOrLock.will(func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		sent = append(sent, identity(ctx).Get("authorization")...)
		return hit("v")(ctx, in)
	})
	tokens := []string{"first", "second"}
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), dibs.WithTokenFunc(func(context.Context) (string, error) {
		next := tokens[0]
		tokens = tokens[1:]
		return next, nil
	}))
	for range 2 {
		value, err := dibs.Fetch(t.Context(), its, "k", returning(""), ttl)
		want(t, value, err, "v")
	}
	if len(sent) != 2 || sent[0] != "Bearer first" || sent[1] != "Bearer second" {
		t.Errorf("sent %v", sent)
	}
}
