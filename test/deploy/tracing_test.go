package deploy

import (
	"net/url"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A collector's usual port for each protocol. With the wrong one, nothing arrives.
var portOfProtocol = map[string]string{"grpc": "4317", "http/protobuf": "4318"}

func TestTracesReachTheCollector(t *testing.T) {
	objects := render(t, "examples/traced")
	var endpoint *url.URL
	for _, d := range of[*appsv1.Deployment](objects) {
		env := environment(t, d.Spec.Template.Spec.Containers[0])
		var err error
		if endpoint, err = url.Parse(env["OTEL_EXPORTER_OTLP_ENDPOINT"]); err != nil {
			t.Fatal(err)
		}
		if protocol := env["OTEL_EXPORTER_OTLP_PROTOCOL"]; portOfProtocol[protocol] != endpoint.Port() {
			t.Errorf("port %s does not speak %q", endpoint.Port(), protocol)
		}
		if env["DIBS_QUORUM_NODES"] == "" {
			t.Error("the fleet's configuration is lost")
		}
	}
	_, namespace, _ := strings.Cut(endpoint.Hostname(), ".")
	leads := 0
	for _, policy := range of[*networkingv1.NetworkPolicy](objects) {
		for _, rule := range policy.Spec.Egress {
			for _, to := range rule.To {
				if to.NamespaceSelector == nil || to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != namespace {
					continue
				}
				leads++
				if policy.Name != "dibs" || len(rule.Ports) != 1 || rule.Ports[0].Port.String() != endpoint.Port() {
					t.Errorf("%s allows %+v, and not port %s", policy.Name, rule.Ports, endpoint.Port())
				}
			}
		}
		if plain := policyOf(t, "examples/fleet", policy.Name); policy.Name == "dibs" && len(policy.Spec.Egress) != len(plain.Spec.Egress)+1 {
			t.Error("the policy allows more, or less, than the fleet and its traces need")
		}
	}
	if leads != 1 {
		t.Errorf("%d rules allow traces to %s", leads, endpoint)
	}
}

func policyOf(t *testing.T, kustomization, name string) *networkingv1.NetworkPolicy {
	t.Helper()
	for _, policy := range of[*networkingv1.NetworkPolicy](render(t, kustomization)) {
		if policy.Name == name {
			return policy
		}
	}
	t.Fatalf("%s has no policy %s", kustomization, name)
	return nil
}
