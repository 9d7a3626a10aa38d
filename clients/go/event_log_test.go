package dibs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// logBook is what was logged, line by line.
type logBook struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(line)
}

func (b *logBook) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
}

func TestAtDebugTheLogSaysWhatTheHooksHear(t *testing.T) {
	for level, wanted := range map[slog.Level]int{slog.LevelDebug: 1, slog.LevelInfo: 0} {
		book, fake := &logBook{}, startFake(t)
		fake.getOrLock.will(leaseBeside("token", "old"))
		its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl,
			dibs.WithLogger(slog.New(slog.NewTextHandler(book, &slog.HandlerOptions{Level: level}))),
			dibs.WithHooks(dibs.Hooks{BackgroundError: func(dibs.BackgroundErrorEvent) { panic("a counter that fails") }}))
		value, err := dibs.Fetch(t.Context(), its, "user:42", failing(errors.New("down")))
		want(t, value, err, "old")
		if err := its.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		line := `level=DEBUG msg="dibs: an error that no caller got" namespace=default key=user:42 error=down`
		if got := strings.Count(book.text(), line); got != wanted {
			t.Errorf("at %v %d lines: %s", level, got, book.text())
		}
	}
}
