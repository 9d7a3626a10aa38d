package main

import (
	"context"
	"log/slog"
)

// warnings reports what the client logs.
type warnings struct{ emit func(event any) }

func (warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler             { return w }
func (w warnings) WithGroup(string) slog.Handler                  { return w }

func (w warnings) Handle(_ context.Context, record slog.Record) error {
	w.emit(map[string]any{"event": "warning", "text": record.Message})
	return nil
}
