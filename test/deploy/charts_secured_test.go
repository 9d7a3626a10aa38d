package deploy

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v4/pkg/chart/common"
)

// Tests for the features that only the chart has.

func theReplica(t *testing.T) (corev1.PodSpec, corev1.Container) {
	t.Helper()
	deployments := of[*appsv1.Deployment](render(t, "helm/secured"))
	if len(deployments) != 1 {
		t.Fatalf("there are %d Deployments", len(deployments))
	}
	spec := deployments[0].Spec.Template.Spec
	return spec, spec.Containers[0]
}

// The Secret that a path in a container comes from.
func secretAt(spec corev1.PodSpec, c corev1.Container, path string) string {
	for _, mount := range c.VolumeMounts {
		if !strings.HasPrefix(path, mount.MountPath+"/") {
			continue
		}
		for _, volume := range spec.Volumes {
			if volume.Name == mount.Name && volume.Secret != nil {
				return volume.Secret.SecretName
			}
		}
	}
	return ""
}

func TestTheChartMountsItsFiles(t *testing.T) {
	spec, dibs := theReplica(t)
	env := environment(t, dibs)
	for name, secret := range map[string]string{
		"DIBS_TLS_CERT": "dibs-tls", "DIBS_TLS_KEY": "dibs-tls", "DIBS_TLS_CA": "dibs-tls",
		"DIBS_AUTH_FILE": "dibs-auth", "DIBS_REDIS_CA": "dibs-redis-tls",
	} {
		if found := secretAt(spec, dibs, env[name]); found != secret {
			t.Errorf("%s, %q, is in the Secret %q and not in %s", name, env[name], found, secret)
		}
	}
	if env["DIBS_INSECURE"] != "" {
		t.Error("calls in clear text are allowed although there is TLS")
	}
	if env["DIBS_LEASE_MAX_MS"] != "30000" {
		t.Errorf("DIBS_LEASE_MAX_MS is %q", env["DIBS_LEASE_MAX_MS"])
	}
	for _, url := range append(strings.Split(env["DIBS_QUORUM_NODES"], ","), env["DIBS_STORE_URL"]) {
		if !strings.HasPrefix(url, "rediss://") {
			t.Errorf("%s is without TLS", url)
		}
	}
}

func TestWithTlsProbesAndScrapesUseTls(t *testing.T) {
	_, dibs := theReplica(t)
	for _, probe := range []*corev1.Probe{dibs.StartupProbe, dibs.ReadinessProbe, dibs.LivenessProbe} {
		if probe.HTTPGet == nil || probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
			t.Errorf("a probe without TLS: %+v", probe.ProbeHandler)
		}
	}
	objects := render(t, "helm/secured")
	for _, port := range service(t, objects, "dibs").Spec.Ports {
		if *port.AppProtocol != "https" {
			t.Errorf("port %s has the protocol %s", port.Name, *port.AppProtocol)
		}
	}
	monitors := of[*monitoringv1.ServiceMonitor](objects)
	if len(monitors) != 1 || monitors[0].Labels["release"] != "prometheus" {
		t.Fatalf("no monitor that Prometheus selects: %+v", monitors)
	}
	for _, endpoint := range monitors[0].Spec.Endpoints {
		if endpoint.Scheme == nil || endpoint.Scheme.String() != "https" || endpoint.TLSConfig.KeySecret.Name != "dibs-scrape" {
			t.Errorf("scraped without TLS, or without a certificate: %+v", endpoint)
		}
	}
}

// The objects of the chart with these values, given as YAML.
func renderSet(t *testing.T, text string) []runtime.Object {
	t.Helper()
	set, err := common.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := renderChart(loadChart(t, filepath.Join(helm, "dibs")), "dibs", set)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestPrometheusMayShowAToken(t *testing.T) {
	objects := renderSet(t, `
image: {repository: dibs}
auth: {secret: dibs-auth}
monitoring: {serviceMonitor: true, authorization: {credentials: {name: dibs-scrape, key: token}}}
`)
	monitors := of[*monitoringv1.ServiceMonitor](objects)
	if len(monitors) != 1 {
		t.Fatalf("there are %d monitors", len(monitors))
	}
	for _, endpoint := range monitors[0].Spec.Endpoints {
		if shown := endpoint.Authorization; shown == nil || shown.Credentials.Name != "dibs-scrape" || shown.Credentials.Key != "token" {
			t.Errorf("scraped without the token: %+v", endpoint)
		}
	}
}

// TLS to the lock nodes of the chart does not replace the URL of a store of your own.
func TestUrlsOfYourOwnStayWithTls(t *testing.T) {
	for own, variable := range map[string]string{"store": "DIBS_STORE_URL", "quorum": "DIBS_QUORUM_NODES"} {
		objects := renderSet(t, "{image: {repository: dibs}, redis: {tlsSecret: dibs-redis-tls}, "+own+": {enabled: false}}")
		for _, v := range of[*appsv1.Deployment](objects)[0].Spec.Template.Spec.Containers[0].Env {
			isUrl := v.Name == "DIBS_STORE_URL" || v.Name == "DIBS_QUORUM_NODES"
			switch {
			case isUrl && v.Name == variable && (v.ValueFrom == nil || v.Value != ""):
				t.Errorf("%s is not that of the Secret, but %q", v.Name, v.Value)
			case isUrl && v.Name != variable && !strings.HasPrefix(v.Value, "rediss://"):
				t.Errorf("%s is without TLS: %q", v.Name, v.Value)
			}
		}
	}
}

func TestTheChartAllowsTracesOverHttp(t *testing.T) {
	_, dibs := theReplica(t)
	env := environment(t, dibs)
	if env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "http://otel-collector.observability:4318" || env["OTEL_EXPORTER_OTLP_PROTOCOL"] != "http/protobuf" {
		t.Errorf("traces go to %s by %s", env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_EXPORTER_OTLP_PROTOCOL"])
	}
	if env["OTEL_TRACES_SAMPLER_ARG"] != "0.05" {
		t.Errorf("the share is %q", env["OTEL_TRACES_SAMPLER_ARG"])
	}
	var ports []string
	for _, policy := range of[*networkingv1.NetworkPolicy](render(t, "helm/secured")) {
		for _, rule := range policy.Spec.Egress {
			for _, port := range rule.Ports {
				ports = append(ports, port.Port.String())
			}
		}
	}
	if !slices.Equal(ports, []string{"6379", "53", "53", "4318"}) {
		t.Errorf("the policies allow the ports %v", ports)
	}
}

func TestTheChartHasTheRulesAndTheDashboard(t *testing.T) {
	objects := render(t, "helm/secured")
	var wanted monitoringv1.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict([]byte(read(t, "deploy/alerts/dibs.rules.yaml")), &wanted); err != nil {
		t.Fatal(err)
	}
	rules := of[*monitoringv1.PrometheusRule](objects)
	if len(rules) != 1 || !reflect.DeepEqual(rules[0].Spec, wanted) {
		t.Error("the rules are not those of deploy/alerts")
	}
	for _, config := range of[*corev1.ConfigMap](objects) {
		if config.Labels["grafana_dashboard"] != "" {
			if config.Data["dibs.json"] != read(t, "deploy/dashboards/dibs.json") {
				t.Error("the dashboard is not that of deploy/dashboards")
			}
			return
		}
	}
	t.Error("no ConfigMap has the dashboard for Grafana")
}

func TestTheChartScalesOnWaiters(t *testing.T) {
	for _, scaler := range of[*autoscalingv2.HorizontalPodAutoscaler](render(t, "helm/secured")) {
		metrics := scaler.Spec.Metrics
		if len(metrics) != 2 || metrics[1].Pods == nil || metrics[1].Pods.Metric.Name != "dibs_waiters" || metrics[1].Pods.Target.AverageValue.Value() != 50_000 {
			t.Errorf("it scales on %+v", metrics)
		}
		return
	}
	t.Error("there is no autoscaler")
}

func TestTheStoreHasMemoryForItsValues(t *testing.T) {
	objects := render(t, "helm/secured")
	for _, config := range of[*corev1.ConfigMap](objects) {
		if config.Name == "dibs-store" && !strings.Contains(config.Data["redis.conf"], "\nmaxmemory 4096mb\nmaxmemory-policy volatile-ttl\n") {
			t.Errorf("its configuration is %s", config.Data["redis.conf"])
		}
	}
	for _, s := range of[*appsv1.StatefulSet](objects) {
		if s.Name != "dibs-store" {
			continue
		}
		limit := s.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value()
		volume := s.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().Value()
		if limit != 8<<30 || volume != 32<<30 {
			t.Errorf("4096 MB of values have a limit of %d and a volume of %d", limit, volume)
		}
		return
	}
	t.Error("there is no store")
}

func TestEveryPodHasThePriorityClass(t *testing.T) {
	objects := render(t, "helm/secured")
	classes := of[*schedulingv1.PriorityClass](objects)
	if len(classes) != 1 || classes[0].Namespace != "" {
		t.Fatalf("there are %d classes", len(classes))
	}
	for _, w := range workloads(objects) {
		if w.spec.PriorityClassName != classes[0].Name {
			t.Errorf("%s has the priority %q", w.name, w.spec.PriorityClassName)
		}
	}
}
