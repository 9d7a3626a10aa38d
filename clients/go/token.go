package dibs

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenSource gives the caller's token, for each call. It is a function, so that no print of a client shows a secret.
type tokenSource func(context.Context) (string, error)

func fixedToken(token string) tokenSource {
	if token == "" {
		return nil
	}
	return func(context.Context) (string, error) { return token, nil }
}

// setToken checks a fixed token now: it will be the same for each call.
func (c *config) setToken(token string) {
	c.token, c.tokenFault = fixedToken(token), header("token", token)
}

// checked refuses a token that could not be sent, without repeating it.
func (s tokenSource) checked(ctx context.Context) (string, error) {
	if s == nil {
		return "", nil
	}
	token, err := s(ctx)
	if err != nil {
		return "", invalid("token: cannot be had: " + err.Error())
	}
	return token, header("token", token)
}

// fileCheckedEvery is how soon a change of the file is seen.
const fileCheckedEvery = 500 * time.Millisecond

// tokenFile is a token that a file holds. It is read again when the file changes.
type tokenFile struct {
	path string

	mu      sync.Mutex
	checked time.Time
	changed time.Time
	size    int64
	token   string
}

func (f *tokenFile) read(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < fileCheckedEvery && f.token != "" {
		return f.token, nil
	}
	f.checked = time.Now()
	found, err := os.Stat(f.path)
	if err == nil && f.token != "" && found.ModTime().Equal(f.changed) && found.Size() == f.size {
		return f.token, nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(f.path)
	}
	token := strings.TrimSpace(string(text))
	if err == nil && token == "" {
		err = fmt.Errorf("%s is empty", f.path)
	}
	if err != nil {
		// While it is replaced, the one before is still worth a try.
		if f.token != "" {
			return f.token, nil
		}
		return "", err
	}
	f.token, f.changed, f.size = token, found.ModTime(), found.Size()
	return token, nil
}

// WithToken sets the caller's token. Default: DIBS_TOKEN, else none. It is sent in clear only to this machine, unless
// [WithInsecureToken] allows more.
func WithToken(token string) Option {
	return option(func(c *config) { c.setToken(token) })
}

// WithTokenFile is a token that the file at path holds, without the white space around it. It is read again when the
// file changes.
func WithTokenFile(path string) Option {
	return option(func(c *config) { c.token, c.tokenFault = (&tokenFile{path: path}).read, nil })
}

// WithTokenFunc is a token that is asked for with each call, and each session, by any number of goroutines at once. It
// should answer from memory. Its error is that of the call.
func WithTokenFunc(token func(context.Context) (string, error)) Option {
	return option(func(c *config) { c.token, c.tokenFault = token, nil })
}

// WithInsecureToken allows the token to be sent in clear to another machine, where anyone on the way can read it.
func WithInsecureToken() Option { return option(func(c *config) { c.isInsecureToken = true }) }
