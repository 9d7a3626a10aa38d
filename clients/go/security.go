package dibs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// WithTLSCA turns TLS on. The PEM file at path has the authorities to trust. It is read again for each connection.
// Default: DIBS_TLS_CA, else those of the system if there is a client certificate, else no TLS.
func WithTLSCA(path string) Option { return option(func(c *config) { c.tlsCA = path }) }

// WithTLSCertificate turns TLS on, and shows the service the certificate in the PEM file at cert, with the key in the
// PEM file at key. Both are read again for each connection. Default: DIBS_TLS_CERT and DIBS_TLS_KEY, else none.
func WithTLSCertificate(cert, key string) Option {
	return option(func(c *config) { c.tlsCert, c.tlsKey = cert, key })
}

func (c config) isSecure() bool { return c.tlsCA != "" || c.tlsCert != "" || c.tlsKey != "" }

// security returns the credentials of the connections.
func (c config) security() (credentials.TransportCredentials, error) {
	if !c.isSecure() {
		return insecure.NewCredentials(), nil
	}
	first, err := c.tls()
	if err != nil {
		return nil, err
	}
	files := &tlsFiles{read: c.tls}
	files.latest.Store(first)
	return &rotatingTLS{credentials.NewTLS(first), files}, nil
}

// tls returns the configuration from the current files.
func (c config) tls() (*tls.Config, error) {
	its := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.tlsCA != "" {
		text, err := pemAt(c.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("dibs: the authorities to trust, from WithTLSCA or DIBS_TLS_CA: %w", err)
		}
		its.RootCAs = x509.NewCertPool()
		if !its.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("dibs: the authorities to trust, from WithTLSCA or DIBS_TLS_CA: %s has no certificate", c.tlsCA)
		}
	}
	if c.tlsCert != "" || c.tlsKey != "" {
		certificate, err := ownCertificate(c.tlsCert, c.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("dibs: the certificate and its key, from WithTLSCertificate or DIBS_TLS_CERT and DIBS_TLS_KEY: %w", err)
		}
		its.Certificates = []tls.Certificate{certificate}
	}
	return its, nil
}

func ownCertificate(certPath, keyPath string) (tls.Certificate, error) {
	cert, err := pemAt(certPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := pemAt(keyPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// tlsFiles are read for each connection, so that a replaced certificate needs no new client.
type tlsFiles struct {
	read   func() (*tls.Config, error)
	latest atomic.Pointer[tls.Config]
}

func (f *tlsFiles) now() *tls.Config {
	// During a replacement, one may not match the other. The old ones are still worth a try.
	if its, err := f.read(); err == nil {
		f.latest.Store(its)
	}
	return f.latest.Load()
}

// rotatingTLS performs handshakes with the current files.
type rotatingTLS struct {
	credentials.TransportCredentials
	files *tlsFiles
}

// ClientHandshake is that of TLS.
func (r *rotatingTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(r.files.now()).ClientHandshake(ctx, authority, conn)
}

// Clone shares the files.
func (r *rotatingTLS) Clone() credentials.TransportCredentials {
	return &rotatingTLS{r.TransportCredentials.Clone(), r.files}
}

// exposed refuses a token that would travel unencrypted to another machine.
func (c config) exposed(to target) error {
	if c.token == nil || c.isSecure() || to.isLocal || c.isInsecureToken {
		return nil
	}
	return invalid("token: would be sent unencrypted to " + shown(to.text) + ", where anyone on the network can read it; " +
		"turn TLS on with WithTLSCA or DIBS_TLS_CA, or allow it with WithInsecureToken")
}
