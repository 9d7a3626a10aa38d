package deploy

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type pod struct {
	name   string
	labels labels.Set
	spec   corev1.PodSpec
}

// The Pods as the controllers create them, with the labels that a StatefulSet adds.
func pods(objects []runtime.Object) []pod {
	var all []pod
	for _, w := range workloads(objects) {
		for at := range w.replicas {
			name := fmt.Sprintf("%s-%d", w.name, at)
			set := labels.Merge(w.Labels, labels.Set{appsv1.StatefulSetPodNameLabel: name})
			all = append(all, pod{name, set, w.spec})
		}
	}
	return all
}

func selected(t *testing.T, from []pod, selector *metav1.LabelSelector) []pod {
	t.Helper()
	matches, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var found []pod
	for _, p := range from {
		if matches.Matches(p.labels) {
			found = append(found, p)
		}
	}
	return found
}

func service(t *testing.T, objects []runtime.Object, name string) *corev1.Service {
	t.Helper()
	for _, s := range of[*corev1.Service](objects) {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no Service %s", name)
	return nil
}

// The number of a Pod's named port.
func portOf(t *testing.T, p pod, target intstr.IntOrString) int32 {
	t.Helper()
	for _, c := range p.spec.Containers {
		for _, port := range c.Ports {
			if port.Name == target.StrVal {
				return port.ContainerPort
			}
		}
	}
	t.Fatalf("%s has no port %s", p.name, target.StrVal)
	return 0
}

// A reference that Kubernetes replaces by a variable of the container.
var reference = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// The Pods behind a URL of the fleet, for a replica in the same namespace or in another.
func reached(t *testing.T, fleet []runtime.Object, text string) []pod {
	t.Helper()
	address, err := url.Parse(reference.ReplaceAllString(text, "password"))
	if err != nil {
		t.Fatal(err)
	}
	name, namespace, elsewhere := strings.Cut(address.Hostname(), ".")
	s := service(t, fleet, name)
	if elsewhere && s.Namespace != namespace {
		t.Errorf("%s is in namespace %s", text, s.Namespace)
	}
	found := selected(t, pods(fleet), &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
	for _, p := range found {
		if port := s.Spec.Ports[0]; fmt.Sprint(port.Port) != address.Port() || portOf(t, p, port.TargetPort) != 6379 {
			t.Errorf("%s does not lead to Redis: %+v", text, port)
		}
	}
	return found
}

func TestTheQuorumIsFiveNodes(t *testing.T) {
	fleet := render(t, "examples/fleet")
	for _, kustomization := range []string{"service", "examples/fleet", "examples/sidecar"} {
		for _, w := range workloads(render(t, kustomization)) {
			for _, c := range w.containers() {
				if c.Name != "dibs" {
					continue
				}
				env := environment(t, c)
				nodes := map[string]bool{}
				for _, node := range strings.Split(env["DIBS_QUORUM_NODES"], ",") {
					behind := reached(t, fleet, node)
					if len(behind) != 1 || behind[0].labels["app.kubernetes.io/component"] != "lock" {
						t.Fatalf("%s: %s leads to %d Pods, and must lead to one lock node", kustomization, node, len(behind))
					}
					nodes[behind[0].name] = true
				}
				if len(nodes) != 5 {
					t.Errorf("%s: DIBS_QUORUM_NODES names %d different nodes", kustomization, len(nodes))
				}
				store := reached(t, fleet, env["DIBS_STORE_URL"])
				for _, user := range []string{"dibs-lock:$(LOCK_PASSWORD)@", "dibs-store:$(STORE_PASSWORD)@"} {
					if urls := env["DIBS_QUORUM_NODES"] + env["DIBS_STORE_URL"]; !strings.Contains(urls, user) {
						t.Errorf("%s: no Redis URL has the user %s", kustomization, user)
					}
				}
				if len(store) != 1 || nodes[store[0].name] {
					t.Errorf("%s: DIBS_STORE_URL must lead to one Redis that is not a lock node", kustomization)
				}
			}
		}
	}
}

func TestLockNodesAreIndependent(t *testing.T) {
	objects := render(t, "quorum")
	for _, s := range of[*corev1.Service](objects) {
		// A node becomes ready only after a replica has seen it wait.
		if regexp.MustCompile(`^dibs-lock-\d$`).MatchString(s.Name) && !s.Spec.PublishNotReadyAddresses {
			t.Errorf("%s hides a node that does not vote yet, so it never will", s.Name)
		}
	}
	for _, w := range workloads(objects) {
		if w.name != "dibs-lock" {
			continue
		}
		spread := map[string]bool{}
		for _, constraint := range w.spec.TopologySpreadConstraints {
			all := len(selected(t, pods(objects), constraint.LabelSelector)) == 5
			spread[constraint.TopologyKey] = all && constraint.MaxSkew == 1 && constraint.WhenUnsatisfiable == corev1.DoNotSchedule
		}
		if !spread[corev1.LabelHostname] || !spread[corev1.LabelTopologyZone] {
			t.Errorf("the lock nodes are not spread: %v", spread)
		}
		for _, volume := range w.spec.Volumes {
			if volume.ConfigMap == nil {
				t.Errorf("the lock nodes persist something: %+v", volume)
			}
		}
	}
	for _, m := range of[*corev1.ConfigMap](objects) {
		if !strings.HasPrefix(m.Name, "dibs-lock-") {
			continue
		}
		for _, line := range []string{"maxmemory-policy noeviction", `save ""`, "appendonly no"} {
			if !strings.Contains(m.Data["redis.conf"], "\n"+line+"\n") {
				t.Errorf("the lock nodes' configuration does not have %s", line)
			}
		}
		return
	}
	t.Error("the lock nodes have no configuration")
}

func TestDisruptionsComeOneAtATime(t *testing.T) {
	objects := render(t, "examples/fleet")
	budgeted := map[string]bool{}
	for _, budget := range of[*policyv1.PodDisruptionBudget](objects) {
		for _, p := range selected(t, pods(objects), budget.Spec.Selector) {
			budgeted[p.name] = budget.Spec.MaxUnavailable.IntValue() == 1
		}
	}
	for _, p := range pods(objects) {
		if wants := p.name != "dibs-store-0"; budgeted[p.name] != wants {
			t.Errorf("%s: has a budget of one: %v", p.name, budgeted[p.name])
		}
	}
	for _, d := range of[*appsv1.Deployment](objects) {
		scaled := of[*autoscalingv2.HorizontalPodAutoscaler](objects)
		if len(scaled) != 1 || scaled[0].Spec.ScaleTargetRef.Name != d.Name || *scaled[0].Spec.MinReplicas < 3 || d.Spec.Replicas != nil {
			t.Errorf("only the autoscaler may set the number of replicas, and at least three: %+v", scaled)
		}
	}
}

func TestTheNetworkDeniesTheRest(t *testing.T) {
	objects := render(t, "examples/fleet")
	everything := pods(objects)
	policies := map[string]networkingv1.NetworkPolicySpec{}
	for _, policy := range of[*networkingv1.NetworkPolicy](objects) {
		if len(policy.Spec.PolicyTypes) != 2 {
			t.Errorf("%s does not restrict both directions", policy.Name)
		}
		for _, p := range selected(t, everything, &policy.Spec.PodSelector) {
			policies[p.name] = policy.Spec
		}
	}
	for _, p := range everything {
		policy, ok := policies[p.name]
		if !ok {
			t.Fatalf("%s has no policy", p.name)
		}
		for _, rule := range policy.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) == 0 {
				t.Errorf("%s allows any source, or any port: %+v", p.name, rule)
			}
		}
		if p.labels["app.kubernetes.io/name"] != "dibs-redis" {
			continue
		}
		if len(policy.Egress) != 0 || len(policy.Ingress) != 1 {
			t.Errorf("%s may connect to more than replicas of Dibs", p.name)
		}
		if in := selected(t, everything, policy.Ingress[0].From[0].PodSelector); len(in) != 1 || in[0].name != "dibs-0" {
			t.Errorf("%s allows connections from %+v", p.name, in)
		}
		out := policies["dibs-0"].Egress[0]
		if to := selected(t, everything, out.To[0].PodSelector); len(to) != 6 || out.Ports[0].Port.IntValue() != 6379 {
			t.Errorf("a replica may connect to %d of the six Redis", len(to))
		}
	}
	for _, w := range workloads(render(t, "examples/sidecar")) {
		in := policies["dibs-lock-0"].Ingress[0].From[1].PodSelector
		if len(selected(t, []pod{{w.name, w.Labels, w.spec}}, in)) != 1 {
			t.Errorf("the sidecar of %s may not connect to Redis", w.name)
		}
	}
}

func TestCallersAndPrometheusFindEveryReplica(t *testing.T) {
	objects := render(t, "examples/fleet")
	replicas := service(t, objects, "dibs")
	if replicas.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Error("with one address, a client would send everything to one replica")
	}
	found := selected(t, pods(objects), &metav1.LabelSelector{MatchLabels: replicas.Spec.Selector})
	if len(found) != 1 {
		t.Fatalf("the Service selects %d Pods of one replica", len(found))
	}
	ports := map[string]int32{}
	for _, port := range replicas.Spec.Ports {
		ports[port.Name] = port.Port
		if portOf(t, found[0], port.TargetPort) != port.Port {
			t.Errorf("a headless Service does not translate port %d", port.Port)
		}
	}
	for _, monitor := range of[*monitoringv1.ServiceMonitor](objects) {
		matches, _ := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
		for _, s := range of[*corev1.Service](objects) {
			if matches.Matches(labels.Set(s.Labels)) != (s.Name == "dibs") {
				t.Errorf("%s: exactly the Service dibs must be scraped", s.Name)
			}
		}
		for _, endpoint := range monitor.Spec.Endpoints {
			if ports[endpoint.Port] == 0 || endpoint.Path != "/metrics" {
				t.Errorf("no metrics are served at %+v", endpoint)
			}
		}
		return
	}
	t.Error("there is no ServiceMonitor")
}

func TestTheSidecarIsReachedByItsSocket(t *testing.T) {
	for _, w := range workloads(render(t, "examples/sidecar")) {
		dibs, app := w.spec.InitContainers[0], w.spec.Containers[0]
		if dibs.RestartPolicy == nil || *dibs.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Error("not a native sidecar, so the Pod would wait for its end")
		}
		socket := environment(t, dibs)["DIBS_LISTEN"]
		target := app.Env[0]
		if target.Name != "DIBS_TARGET" || target.Value != socket || !strings.HasPrefix(socket, "unix:///") {
			t.Errorf("the sidecar listens on %s, and its target is %+v", socket, target)
		}
		for _, c := range []corev1.Container{dibs, app} {
			mount := c.VolumeMounts[0]
			if !strings.HasPrefix(strings.TrimPrefix(socket, "unix://"), mount.MountPath+"/") || mount.Name != w.spec.Volumes[0].Name || w.spec.Volumes[0].EmptyDir == nil {
				t.Errorf("%s does not share the socket's folder", c.Name)
			}
		}
		return
	}
	t.Error("there is no Deployment with a sidecar")
}

// Kubernetes leaves a reference to a missing variable unchanged, and the text in the manifest would be the password.
func TestReferencesHaveTheirVariables(t *testing.T) {
	for _, kustomization := range kustomizations {
		for _, w := range workloads(render(t, kustomization)) {
			for _, c := range w.containers() {
				known := map[string]bool{}
				texts := append([]string{}, c.Command...)
				for _, e := range c.Env {
					known[e.Name] = true
					texts = append(texts, e.Value)
				}
				for _, found := range reference.FindAllStringSubmatch(strings.Join(texts, " "), -1) {
					if !known[found[1]] {
						t.Errorf("%s: %s of %s does not have the variable %s", kustomization, c.Name, w.name, found[1])
					}
				}
			}
		}
	}
}

// The doctor must have the same environment and files, or it would examine something else.
func TestTheDoctorSeesWhatDibsSees(t *testing.T) {
	for _, w := range workloads(render(t, "examples/doctor")) {
		doctor, dibs := w.spec.InitContainers[0], w.spec.Containers[0]
		if !reflect.DeepEqual(doctor.Env, dibs.Env) || !reflect.DeepEqual(doctor.VolumeMounts, dibs.VolumeMounts) {
			t.Errorf("%s: its environment or its files differ: %+v, %+v", w.name, doctor.Env, dibs.Env)
		}
		if doctor.Image != dibs.Image {
			t.Errorf("%s: its image differs: %s, %s", w.name, doctor.Image, dibs.Image)
		}
	}
}

// TLS to your own Redis: the authority is mounted where Dibs reads it, and the passwords in the same Secret are not mounted.
func TestOwnRedisIsTrustedByItsAuthority(t *testing.T) {
	for _, w := range workloads(render(t, "examples/own-redis")) {
		dibs := w.spec.Containers[0]
		path := environment(t, dibs)["DIBS_REDIS_CA"]
		found := false
		for _, mount := range dibs.VolumeMounts {
			for _, volume := range w.spec.Volumes {
				if volume.Name != mount.Name || volume.Secret == nil {
					continue
				}
				items := volume.Secret.Items
				if len(items) != 1 || mount.MountPath+"/"+items[0].Path != path {
					t.Errorf("%s mounts %+v, which is not only %s", w.name, items, path)
				}
				found = true
			}
		}
		if !found {
			t.Errorf("%s mounts no authority", w.name)
		}
	}
}
