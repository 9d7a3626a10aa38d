package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// fields are the fields of all commands. Times are milliseconds.
type fields struct {
	clientFields
	Call        string          `json:"call"`
	Key         string          `json:"key"`
	TTLMs       number          `json:"ttl_ms"`
	StaleMs     number          `json:"stale_ms"`
	AbsentTTLMs number          `json:"absent_ttl_ms"`
	Tags        []string        `json:"tags"`
	WaitMs      number          `json:"wait_ms"`
	LeaseMs     number          `json:"lease_ms"`
	Stale       string          `json:"stale"`
	Read        string          `json:"read"`
	Refresh     bool            `json:"refresh"`
	Revalidate  string          `json:"revalidate"`
	StaleIfErr  bool            `json:"stale_if_error"`
	Codec       string          `json:"codec"`
	Traceparent string          `json:"traceparent"`
	DeadlineMs  *int64          `json:"deadline_ms"`
	Rebuild     scripts         `json:"rebuild"`
	Gate        string          `json:"gate"`
	Method      string          `json:"method"`
	Request     json.RawMessage `json:"request"`
	Calls       int             `json:"calls"`
	InFlight    int             `json:"in_flight"`
	Keys        []string        `json:"keys"`
	Value       []byte          `json:"value"`
	Absent      bool            `json:"absent"`
	All         bool            `json:"all"`
	Mode        string          `json:"mode"`
	TimeoutMs   int64           `json:"timeout_ms"`
}

// clientFields are the fields for a client.
type clientFields struct {
	Client                   string  `json:"client"`
	Target                   string  `json:"target"`
	Namespace                *string `json:"namespace"`
	Holder                   *string `json:"holder"`
	Token                    *string `json:"token"`
	TokenFile                string  `json:"token_file"`
	TokenFunction            string  `json:"token_function"`
	AllowInsecureToken       bool    `json:"allow_insecure_token"`
	TLSCA                    string  `json:"tls_ca"`
	TLSCert                  string  `json:"tls_cert"`
	TLSKey                   string  `json:"tls_key"`
	Session                  *bool   `json:"session"`
	KeyAffinity              bool    `json:"key_affinity"`
	OnUnavailable            string  `json:"on_unavailable"`
	ConnectMs                *int64  `json:"connect_ms"`
	LeaseHoldMaxMs           *int64  `json:"lease_hold_max_ms"`
	NearCache                bool    `json:"near_cache"`
	ServeNearWhenUnavailable bool    `json:"serve_near_when_unavailable"`
}

var unavailable = map[string]dibs.OnUnavailable{
	"rebuild": dibs.OnUnavailableRebuild,
	"fail":    dibs.OnUnavailableFail,
}

// nearBytesMax has room for everything that a scenario keeps.
const nearBytesMax = 1 << 20

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// clientOptions are the command's options for a client.
func (f clientFields) clientOptions(hooks dibs.Hooks, log *slog.Logger) []dibs.Option {
	options := []dibs.Option{dibs.WithHooks(hooks), dibs.WithLogger(log)}
	if f.Namespace != nil {
		options = append(options, dibs.WithNamespace(*f.Namespace))
	}
	if f.Holder != nil {
		options = append(options, dibs.WithHolder(*f.Holder))
	}
	if f.Token != nil {
		options = append(options, dibs.WithToken(*f.Token))
	}
	if f.TokenFile != "" {
		options = append(options, dibs.WithTokenFile(f.TokenFile))
	}
	if f.TokenFunction != "" {
		options = append(options, dibs.WithTokenFunc(func(context.Context) (string, error) {
			token, err := os.ReadFile(f.TokenFunction)
			return strings.TrimSpace(string(token)), err
		}))
	}
	if f.AllowInsecureToken {
		options = append(options, dibs.WithInsecureToken())
	}
	if f.TLSCA != "" {
		options = append(options, dibs.WithTLSCA(f.TLSCA))
	}
	if f.TLSCert != "" {
		options = append(options, dibs.WithTLSCertificate(f.TLSCert, f.TLSKey))
	}
	if f.NearCache {
		options = append(options, dibs.WithNearCache(dibs.NearCache{
			MaxBytes:             nearBytesMax,
			ServeWhenUnavailable: f.ServeNearWhenUnavailable,
		}))
	}
	if f.LeaseHoldMaxMs != nil {
		options = append(options, dibs.WithLeaseHoldMax(milliseconds(*f.LeaseHoldMaxMs)))
	}
	if f.Session != nil {
		options = append(options, dibs.WithSession(*f.Session))
	}
	if f.KeyAffinity {
		options = append(options, dibs.WithKeyAffinity())
	}
	if f.ConnectMs != nil {
		options = append(options, dibs.WithConnectTimeout(milliseconds(*f.ConnectMs)))
	}
	if what, ok := unavailable[f.OnUnavailable]; ok {
		options = append(options, dibs.WithOnUnavailable(what))
	}
	return options
}

// fetchOptions are the command's options for a call.
func (f fields) fetchOptions() []dibs.FetchOption {
	options := []dibs.FetchOption{
		dibs.WithTTL(f.TTLMs.its),
		dibs.WithTags(f.Tags...),
		dibs.WithTraceparent(f.Traceparent),
		dibs.WithStale(map[string]dibs.Stale{"allow": dibs.StaleAllow, "forbid": dibs.StaleForbid}[f.Stale]),
		dibs.WithRead(map[string]dibs.Read{"near": dibs.ReadNear, "store": dibs.ReadStore}[f.Read]),
	}
	times := []struct {
		ms   number
		with func(time.Duration) dibs.FetchOption
	}{
		{f.StaleMs, func(d time.Duration) dibs.FetchOption { return dibs.WithStaleFor(d) }},
		{f.AbsentTTLMs, func(d time.Duration) dibs.FetchOption { return dibs.WithAbsentTTL(d) }},
		{f.WaitMs, func(d time.Duration) dibs.FetchOption { return dibs.WithWait(d) }},
		{f.LeaseMs, func(d time.Duration) dibs.FetchOption { return dibs.WithLease(d) }},
	}
	for _, time := range times {
		if time.ms.isSet {
			options = append(options, time.with(time.ms.its))
		}
	}
	if f.Namespace != nil {
		options = append(options, dibs.WithNamespace(*f.Namespace))
	}
	if f.Refresh {
		options = append(options, dibs.WithRefresh())
	}
	switch {
	case f.Revalidate == "await" && f.StaleIfErr:
		options = append(options, dibs.WithRevalidate(dibs.RevalidateAwaitElseStale))
	case f.Revalidate == "await":
		options = append(options, dibs.WithRevalidate(dibs.RevalidateAwait))
	}
	if what, ok := unavailable[f.OnUnavailable]; ok {
		options = append(options, dibs.WithOnUnavailable(what))
	}
	return options
}
