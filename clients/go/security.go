package dibs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// WithTLSCA turns TLS on; the PEM file at path has the authorities to trust. Default: DIBS_TLS_CA, else those of the
// system where there is a client certificate, else no TLS.
func WithTLSCA(path string) Option { return option(func(c *config) { c.tlsCA = path }) }

// WithTLSCertificate turns TLS on, and shows the service the certificate of the PEM file at cert, whose key is that of
// the PEM file at key. Both are read again for each connection. Default: DIBS_TLS_CERT and DIBS_TLS_KEY, else none.
func WithTLSCertificate(cert, key string) Option {
	return option(func(c *config) { c.tlsCert, c.tlsKey = cert, key })
}

func (c config) isSecure() bool { return c.tlsCA != "" || c.tlsCert != "" || c.tlsKey != "" }

// security is that of the connections.
func (c config) security() (credentials.TransportCredentials, error) {
	if !c.isSecure() {
		return insecure.NewCredentials(), nil
	}
	its := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.tlsCA != "" {
		text, err := os.ReadFile(c.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("dibs: the authorities to trust, of WithTLSCA or DIBS_TLS_CA: %w", err)
		}
		its.RootCAs = x509.NewCertPool()
		if !its.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("dibs: the authorities to trust, of WithTLSCA or DIBS_TLS_CA: %s has no certificate", c.tlsCA)
		}
	}
	if c.tlsCert == "" && c.tlsKey == "" {
		return credentials.NewTLS(its), nil
	}
	load := func() (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("dibs: the certificate and its key, of WithTLSCertificate or DIBS_TLS_CERT and DIBS_TLS_KEY: %w", err)
		}
		return &certificate, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	its.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return credentials.NewTLS(its), nil
}

// exposed refuses a token that would be sent in clear to another machine.
func (c config) exposed(to target) error {
	if c.token == nil || c.isSecure() || to.isLocal || c.isInsecureToken {
		return nil
	}
	return invalid("token: would be sent in clear to " + to.text + ", where anyone on the way can read it; " +
		"turn TLS on by WithTLSCA or DIBS_TLS_CA, or allow it by WithInsecureToken")
}
