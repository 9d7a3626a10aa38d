package dibs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// tokenSource returns the caller's token for each call. It is a function, so that printing a client shows no secret.
type tokenSource func(context.Context) (string, error)

func fixedToken(token string) tokenSource {
	if token == "" {
		return nil
	}
	return func(context.Context) (string, error) { return token, nil }
}

// setToken checks a fixed token now, because it is the same for each call.
func (c *config) setToken(token string) {
	c.token, c.tokenFault = fixedToken(token), header("token", token)
}

func (c *config) setTokenFile(path string) {
	file, err := openTokenFile(path)
	if err != nil {
		c.token, c.tokenFault = nil, err
		return
	}
	c.token, c.tokenFault = file.read, nil
}

// checked refuses a token that could not be sent, without repeating it.
func (s tokenSource) checked(ctx context.Context) (string, error) {
	if s == nil {
		return "", nil
	}
	token, err := s.guarded(ctx)
	if err != nil {
		// Its text may contain the token.
		return "", invalidBy(err, "token: its function failed; the error that this one wraps says why")
	}
	return token, header("token", token)
}

// guarded: a panic of the caller's function is an error, because it may come in a goroutine of the client, where it
// would end the process.
func (s tokenSource) guarded(ctx context.Context) (token string, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			token, err = "", fmt.Errorf("it panicked: %v", panicked)
		}
	}()
	return s(ctx)
}

// fileReadEvery is how soon a change of the file is noticed.
const fileReadEvery = 500 * time.Millisecond

// tokenFile is a token in a file. It is read again regularly, and not only when its size or time has changed, because
// the next token may keep both.
type tokenFile struct {
	path string

	mu     sync.Mutex
	readAt time.Time
	token  string
}

func openTokenFile(path string) (*tokenFile, error) {
	f := &tokenFile{path: path}
	if err := f.readAgain(); err != nil {
		return nil, invalid("token: the file of WithTokenFile or DIBS_TOKEN_FILE cannot be used: " + err.Error())
	}
	return f, nil
}

func (f *tokenFile) read(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.readAt) >= fileReadEvery {
		// During a replacement, the old one is still worth a try.
		_ = f.readAgain()
	}
	return f.token, nil
}

func (f *tokenFile) readAgain() error {
	f.readAt = time.Now()
	text, err := tokenAt(f.path)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return fmt.Errorf("%s is empty", f.path)
	}
	if header("token", token) != nil {
		return fmt.Errorf("%s is not a header value: use printable ASCII", f.path)
	}
	f.token = token
	return nil
}

// WithToken sets the caller's token. Default: DIBS_TOKEN, else the content of the file DIBS_TOKEN_FILE, else none. It
// travels unencrypted only on this machine, unless [WithInsecureToken] allows more.
func WithToken(token string) Option {
	return option(func(c *config) { c.setToken(token) })
}

// WithTokenFile sets a file with the token, without the white space around it. A change of the file is noticed within a
// second. [New] fails if the file cannot be read. Later, the old token stays in use. Default: DIBS_TOKEN_FILE, unless
// there is a DIBS_TOKEN.
func WithTokenFile(path string) Option {
	return option(func(c *config) { c.setTokenFile(path) })
}

// WithTokenFunc sets a function that returns the token for each call and each session. Any number of goroutines may
// call it at once. It should answer from memory. Its error becomes the call's.
func WithTokenFunc(token func(context.Context) (string, error)) Option {
	return option(func(c *config) {
		c.token, c.tokenFault = token, nil
		if token == nil {
			c.tokenFault = invalid("token: the function is nil; leave WithTokenFunc out for no token")
		}
	})
}

// WithInsecureToken allows the token to travel unencrypted to another machine. Anyone on the way can read it.
func WithInsecureToken() Option { return option(func(c *config) { c.isInsecureToken = true }) }
