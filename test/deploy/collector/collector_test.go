// Package collector loads the example of a collector's configuration as the collector does: every component by its own
// factory, which checks its settings. It is a separate package because it needs many libraries.
package collector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
)

const example = "../../../deploy/collector/tail-sampling.yaml"

func dryRun(t *testing.T, path string) error {
	t.Helper()
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.NewDefaultBuildInfo(),
		Factories: func() (otelcol.Factories, error) {
			otlp, tail, out := otlpreceiver.NewFactory(), tailsamplingprocessor.NewFactory(), otlpexporter.NewFactory()
			return otelcol.Factories{
				Receivers:  map[component.Type]receiver.Factory{otlp.Type(): otlp},
				Processors: map[component.Type]processor.Factory{tail.Type(): tail},
				Exporters:  map[component.Type]exporter.Factory{out.Type(): out},
				Telemetry:  telemetry.NewFactory(func() component.Config { return new(struct{}) }),
			}, nil
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{path},
			ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
			DefaultScheme:     "file",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := collector.DryRun(t.Context()); err != nil {
		return err
	}
	return startTailSampling(t, path)
}

// A dry run checks only the form. The kinds of the policies are checked when the processor starts.
func startTailSampling(t *testing.T, path string) error {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	retrieved, err := confmap.NewRetrievedFromYAML(text)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := retrieved.AsConf()
	if err != nil {
		t.Fatal(err)
	}
	part, err := whole.Sub("processors::tail_sampling")
	if err != nil {
		return err
	}
	factory := tailsamplingprocessor.NewFactory()
	settings := factory.CreateDefaultConfig()
	if err := part.Unmarshal(settings); err != nil {
		return err
	}
	sampling, err := factory.CreateTraces(t.Context(), processortest.NewNopSettings(factory.Type()), settings, consumertest.NewNop())
	if err != nil {
		return err
	}
	if err := sampling.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		return err
	}
	return sampling.Shutdown(t.Context())
}

func TestTheCollectorAcceptsTheExample(t *testing.T) {
	if err := dryRun(t, example); err != nil {
		t.Fatal(err)
	}
}

// If these passed, the test above would prove nothing.
func TestUnknownSettingsAreRefused(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, from, to, says string }{
		{"a field is misspelt", "threshold_ms", "treshold_ms", "treshold_ms"},
		{"a policy has an unknown kind", "type: latency", "type: latencies", "latencies"},
		{"a component does not exist", "exporters: [otlp_grpc]", "exporters: [jaeger]", "jaeger"},
		{"a time cannot be read", "decision_wait: 40s", "decision_wait: soon", "decision_wait"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wrong.yaml")
			if err := os.WriteFile(path, []byte(strings.Replace(string(text), c.from, c.to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := dryRun(t, path); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("want an error that says %s, got %v", c.says, err)
			}
		})
	}
}
