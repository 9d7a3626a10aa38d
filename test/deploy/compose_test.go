package deploy

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

// The compose file as `docker compose` loads it: checked by its schema, with references resolved.
func composed(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join("..", "..", "deploy", "compose.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// The services of one kind. The file names them with a common prefix.
func named(project *types.Project, prefix string) []types.ServiceConfig {
	var found []types.ServiceConfig
	for _, name := range project.ServiceNames() {
		if strings.HasPrefix(name, prefix) {
			found = append(found, project.Services[name])
		}
	}
	return found
}

func argument(command []string, name string) string {
	if at := slices.Index(command, name); at >= 0 && at+1 < len(command) {
		return command[at+1]
	}
	return "none"
}

func TestComposeOpensNothingBeyondThisMachine(t *testing.T) {
	taken := map[string]string{}
	for name, service := range composed(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %d is open at %q", name, port.Target, port.HostIP)
			}
			if other, there := taken[port.Published]; there {
				t.Errorf("%s and %s both want port %s", name, other, port.Published)
			}
			taken[port.Published] = name
		}
		if service.NetworkMode != "" {
			t.Errorf("%s: has the network of %s", name, service.NetworkMode)
		}
	}
	if len(taken) < 5 {
		t.Errorf("only %d ports are open, and users need all of them", len(taken))
	}
}

func TestComposePinsWhatItPulls(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9]+)?$`)
	for name, service := range composed(t).Services {
		if service.Build == nil && !pinned.MatchString(service.Image) {
			t.Errorf("%s: %s is not pinned, so it may change", name, service.Image)
		}
	}
}

func TestComposeChecksTheHealthOfEveryService(t *testing.T) {
	for name, service := range composed(t).Services {
		if service.Build != nil {
			if image(t, "linux/amd64").Config.Healthcheck == nil {
				t.Errorf("%s: neither the file nor the image has a health check", name)
			}
		} else if service.HealthCheck == nil || len(service.HealthCheck.Test) < 2 {
			t.Errorf("%s: has no health check", name)
		}
	}
}

func TestComposeMountsOnlyExistingFiles(t *testing.T) {
	for name, service := range composed(t).Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !volume.ReadOnly {
				t.Errorf("%s: may write to %s", name, volume.Source)
			}
		}
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, "Dockerfile")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestComposeLockNodesPersistNothingAndEvictNothing(t *testing.T) {
	nodes := named(composed(t), "lock-")
	if len(nodes) != 5 {
		t.Fatalf("there are %d lock nodes", len(nodes))
	}
	for _, node := range nodes {
		kept := []string{argument(node.Command, "--save"), argument(node.Command, "--appendonly"), argument(node.Command, "--maxmemory-policy")}
		if !slices.Equal(kept, []string{"", "no", "noeviction"}) || len(node.Volumes) > 0 {
			t.Errorf("%s: %q, %d volumes", node.Name, node.Command, len(node.Volumes))
		}
	}
}

// A restart must not lose an acknowledged write. Otherwise a value could come back after an invalidation removed it.
func TestComposeValueStoreForgetsNothing(t *testing.T) {
	store := composed(t).Services["values"]
	kept := []string{argument(store.Command, "--appendonly"), argument(store.Command, "--appendfsync")}
	if !slices.Equal(kept, []string{"yes", "always"}) || len(store.Volumes) != 1 || store.Volumes[0].Type != types.VolumeTypeVolume {
		t.Errorf("%q, volumes %v", store.Command, store.Volumes)
	}
}

func TestComposeReplicasReachTheirRedis(t *testing.T) {
	project := composed(t)
	replicas := named(project, "dibs-")
	if len(replicas) != 2 {
		t.Fatalf("there are %d replicas", len(replicas))
	}
	for _, replica := range replicas {
		value := func(name string) string {
			if text := replica.Environment[name]; text != nil {
				return *text
			}
			return ""
		}
		urls := strings.Split(value("DIBS_QUORUM_NODES"), ",")
		if len(urls) != len(named(project, "lock-")) {
			t.Errorf("%s: has %d lock nodes", replica.Name, len(urls))
		}
		for _, text := range append(urls, value("DIBS_STORE_URL"), value("OTEL_EXPORTER_OTLP_ENDPOINT")) {
			address, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, there := project.Services[address.Hostname()]; !there {
				t.Errorf("%s: there is no service %q", replica.Name, text)
			}
			waits := replica.DependsOn[address.Hostname()]
			if address.Scheme == "redis" && waits.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s: does not wait for %s", replica.Name, address.Hostname())
			}
		}
	}
}

func TestComposePrometheusScrapesEveryReplica(t *testing.T) {
	var config struct {
		ScrapeConfigs []struct {
			HonorLabels   bool `json:"honor_labels"`
			StaticConfigs []struct {
				Targets []string `json:"targets"`
			} `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/prometheus.yml")), &config); err != nil {
		t.Fatal(err)
	}
	var targets, wanted []string
	for _, scrape := range config.ScrapeConfigs {
		for _, static := range scrape.StaticConfigs {
			targets = append(targets, static.Targets...)
		}
		if !scrape.HonorLabels {
			t.Error("a target's label may overwrite Dibs' label namespace")
		}
	}
	_, port, err := net.SplitHostPort(imageListens(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, replica := range named(composed(t), "dibs-") {
		wanted = append(wanted, fmt.Sprintf("%s:%s", replica.Name, port))
	}
	if !slices.Equal(targets, wanted) {
		t.Errorf("scrapes %v, and the replicas are %v", targets, wanted)
	}
}

// The port on which the image serves metrics.
func imageListens(t *testing.T) string {
	t.Helper()
	for _, pair := range image(t, "linux/amd64").Config.Env {
		if address, found := strings.CutPrefix(pair, "DIBS_HTTP_LISTEN="); found {
			return address
		}
	}
	t.Fatal("the image does not set its address")
	return ""
}

func TestComposeGrafanaFindsItsDashboardAndData(t *testing.T) {
	project := composed(t)
	mounted := map[string]string{}
	for _, volume := range project.Services["grafana"].Volumes {
		mounted[volume.Target] = volume.Source
	}
	var dashboards struct {
		Providers []struct {
			Options struct {
				Path string `json:"path"`
			} `json:"options"`
		} `json:"providers"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/grafana/provisioning/dashboards/dibs.yaml")), &dashboards); err != nil {
		t.Fatal(err)
	}
	for _, provider := range dashboards.Providers {
		if _, err := os.Stat(filepath.Join(mounted[provider.Options.Path], "dibs.json")); err != nil {
			t.Error(err)
		}
	}
	var sources struct {
		Datasources []struct {
			URL string `json:"url"`
		} `json:"datasources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/grafana/provisioning/datasources/prometheus.yaml")), &sources); err != nil {
		t.Fatal(err)
	}
	if len(dashboards.Providers) != 1 || len(sources.Datasources) != 1 {
		t.Fatalf("%d dashboards, %d data sources", len(dashboards.Providers), len(sources.Datasources))
	}
	address, err := url.Parse(sources.Datasources[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := project.Services[address.Hostname()]; !there {
		t.Errorf("there is no service %q", address.Hostname())
	}
}
