// Package mlog has the names of monis.app/mlog by which Azure Workload Identity writes its log, over the standard library's
// log/slog. Not every module proxy has the original, and what is tested here is not how a log is written.
package mlog

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
)

// LogLevel says how much is written, as the flag --log-level spells it.
type LogLevel string

// The levels, from few words to many.
const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"
)

// LogFormat says how a line looks.
type LogFormat string

// FormatJSON is one object a line.
const FormatJSON LogFormat = "json"

// LogSpec is what the program asks for.
type LogSpec struct {
	Level  LogLevel
	Format LogFormat
}

// Logger writes with a name and values of its own.
type Logger struct {
	to *slog.Logger
}

var (
	levels = map[LogLevel]slog.Level{
		LevelWarning: slog.LevelWarn,
		LevelInfo:    slog.LevelInfo,
		LevelDebug:   slog.LevelDebug,
		LevelTrace:   slog.LevelDebug - 4,
		LevelAll:     slog.LevelDebug - 8,
	}
	written slog.LevelVar
	handler = slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &written})
)

// Setup returns what is to be done at the end: nothing, for nothing is held back.
func Setup() func() {
	return func() {}
}

// ValidateAndSetLogLevelAndFormatGlobally obeys the specification, or says what is wrong with it.
func ValidateAndSetLogLevelAndFormatGlobally(_ context.Context, spec LogSpec) error {
	level, known := levels[spec.Level]
	if !known {
		return fmt.Errorf("log level %q is unknown", spec.Level)
	}
	if spec.Format != FormatJSON {
		return fmt.Errorf("log format %q is unknown", spec.Format)
	}
	written.Set(level)
	return nil
}

// Enabled tells whether lines of this level are written.
func Enabled(level LogLevel) bool {
	return handler.Enabled(context.Background(), levels[level])
}

// Logr is for libraries that log through logr.
func Logr() logr.Logger {
	return logr.FromSlogHandler(handler)
}

// New returns a logger without a name.
func New() Logger {
	return Logger{to: slog.New(handler)}
}

// Fatal ends the program with the error.
func Fatal(err error) {
	New().Error("fatal", err)
	os.Exit(1)
}

// WithName returns a logger that names the part of the program.
func (l Logger) WithName(name string) Logger {
	return Logger{to: l.to.With("logger", name)}
}

// WithValues returns a logger that adds these keys and values to each line.
func (l Logger) WithValues(keysAndValues ...any) Logger {
	return Logger{to: l.to.With(keysAndValues...)}
}

// Info writes a line.
func (l Logger) Info(message string, keysAndValues ...any) {
	l.to.Info(message, keysAndValues...)
}

// Error writes a line about an error.
func (l Logger) Error(message string, err error, keysAndValues ...any) {
	l.to.Error(message, append([]any{"err", err}, keysAndValues...)...)
}
