package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type workload struct {
	name     string
	replicas int32
	metav1.ObjectMeta
	spec corev1.PodSpec
}

func workloads(objects []runtime.Object) []workload {
	var all []workload
	for _, d := range of[*appsv1.Deployment](objects) {
		all = append(all, workload{d.Name, replicasOf(d.Spec.Replicas), d.Spec.Template.ObjectMeta, d.Spec.Template.Spec})
	}
	for _, s := range of[*appsv1.StatefulSet](objects) {
		all = append(all, workload{s.Name, replicasOf(s.Spec.Replicas), s.Spec.Template.ObjectMeta, s.Spec.Template.Spec})
	}
	return all
}

// The object's Pod template, if it has one.
func templates(object runtime.Object) []*corev1.PodTemplateSpec {
	switch it := object.(type) {
	case *appsv1.Deployment:
		return []*corev1.PodTemplateSpec{&it.Spec.Template}
	case *appsv1.StatefulSet:
		return []*corev1.PodTemplateSpec{&it.Spec.Template}
	}
	return nil
}

func replicasOf(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// All containers, with the init containers.
func (w workload) containers() []corev1.Container {
	return append(slices.Clone(w.spec.InitContainers), w.spec.Containers...)
}

// Checks every Pod of every kustomization, each in a subtest.
func eachWorkload(t *testing.T, check func(t *testing.T, w workload)) {
	for _, kustomization := range kustomizations {
		all := workloads(render(t, kustomization))
		if len(all) == 0 {
			t.Errorf("%s runs nothing", kustomization)
		}
		for _, w := range all {
			t.Run(kustomization+"/"+w.name, func(t *testing.T) { check(t, w) })
		}
	}
}

// Checks every container that runs the service.
func eachReplica(t *testing.T, check func(t *testing.T, w workload, c corev1.Container)) {
	found := 0
	eachWorkload(t, func(t *testing.T, w workload) {
		for _, c := range w.containers() {
			if c.Name == "dibs" {
				found++
				check(t, w, c)
			}
		}
	})
	if found == 0 {
		t.Error("no container runs Dibs")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The environment of the container's process: the image's, overridden by the manifest's.
func environment(t *testing.T, c corev1.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, pair := range image(t, "linux/amd64").Config.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	return env
}

func TestEveryPodIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	eachWorkload(t, func(t *testing.T, w workload) {
		if result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &w.ObjectMeta, &w.spec)); !result.Allowed {
			t.Error(result.ForbiddenDetail())
		}
		if w.spec.AutomountServiceAccountToken == nil || *w.spec.AutomountServiceAccountToken {
			t.Error("the Pod has a token of the Kubernetes API, which it does not need")
		}
		for _, c := range w.containers() {
			if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s may write to its root file system", c.Name)
			}
		}
	})
	// Shows that the evaluator finds violations.
	if policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &metav1.ObjectMeta{}, &corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}})).Allowed {
		t.Error("a Pod without security settings passes as restricted")
	}
}

func TestEveryContainerHasResourcesAndAVersion(t *testing.T) {
	eachWorkload(t, func(t *testing.T, w workload) {
		for _, c := range w.containers() {
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: cpu and memory must be requested, and memory limited", c.Name)
			}
			if c.Resources.Limits.Memory().Cmp(*c.Resources.Requests.Memory()) < 0 {
				t.Errorf("%s: the limit is below the request", c.Name)
			}
			if strings.HasSuffix(c.Image, ":latest") || !strings.Contains(c.Image, ":") {
				t.Errorf("%s: %s has no version", c.Name, c.Image)
			}
		}
	})
}

func TestProbesAskOnlyTheReplicaItself(t *testing.T) {
	eachReplica(t, func(t *testing.T, w workload, c corev1.Container) {
		if c.StartupProbe == nil || c.LivenessProbe == nil {
			t.Fatal("a startup and a liveness probe are needed")
		}
		if seconds := c.StartupProbe.PeriodSeconds * c.StartupProbe.FailureThreshold; seconds < 15 {
			t.Errorf("the replica is killed after %d s, and its first contact may take 10 s", seconds)
		}
		if c.RestartPolicy == nil {
			if c.ReadinessProbe == nil {
				t.Error("a readiness probe is needed")
			}
			// A rollout with a wrong password must not replace a good replica.
			if get := c.StartupProbe.HTTPGet; get == nil || get.Path != "/startupz" {
				t.Error("the replica counts as started before its first contact")
			}
		}
		for _, later := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			if later != nil && later.HTTPGet != nil && later.HTTPGet.Path == "/startupz" {
				t.Error("a started replica would go down with its Redis")
			}
		}
		env := environment(t, c)
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			switch {
			case probe == nil:
			case probe.GRPC != nil:
				if service := probe.GRPC.Service; service != nil && *service != "" && *service != "dibs.v1.CoordinatorService" {
					t.Errorf("the health service does not know %s", *service)
				}
				if !strings.HasSuffix(env["DIBS_LISTEN"], ":"+strconv.Itoa(int(probe.GRPC.Port))) {
					t.Errorf("gRPC listens on %s, not on port %d", env["DIBS_LISTEN"], probe.GRPC.Port)
				}
			case probe.HTTPGet != nil:
				if path := probe.HTTPGet.Path; !slices.Contains([]string{"/healthz", "/readyz", "/startupz"}, path) {
					t.Errorf("%s is not a health page", path)
				}
				if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal }) {
					t.Errorf("the container has no port %s", probe.HTTPGet.Port.StrVal)
				}
			default:
				t.Errorf("a probe of another kind: %+v", probe.ProbeHandler)
			}
		}
	})
}

// The times come from the source.
func TestThereIsTimeToDrain(t *testing.T) {
	seconds := func(path, name string) int64 {
		match := regexp.MustCompile(`const ` + name + ` = ([\d_]+);`).FindStringSubmatch(read(t, path))
		if match == nil {
			t.Fatalf("%s has no constant %s", path, name)
		}
		ms, _ := strconv.ParseInt(strings.ReplaceAll(match[1], "_", ""), 10, 64)
		return ms / 1000
	}
	drain := seconds("src/grpc/session/sessions.ts", "CLOSES_IN_MS") + seconds("src/app.ts", "STOP_MS_MAX") + seconds("src/http/server.ts", "STOP_MS_MAX")
	eachReplica(t, func(t *testing.T, w workload, c corev1.Container) {
		graceSeconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
		if w.spec.TerminationGracePeriodSeconds != nil {
			graceSeconds = *w.spec.TerminationGracePeriodSeconds
		}
		var sleepSeconds int64
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			sleepSeconds = c.Lifecycle.PreStop.Sleep.Seconds
		}
		if graceSeconds < sleepSeconds+drain+5 {
			t.Errorf("%d s, with a sleep of %d, are too short for a drain of up to %d", graceSeconds, sleepSeconds, drain)
		}
	})
}

func TestEveryVariableIsKnown(t *testing.T) {
	known := map[string]bool{}
	reading := read(t, "src/config/config.ts") + read(t, "src/config/edge-environment.ts") + read(t, "src/config/fleet-environment.ts")
	for _, name := range regexp.MustCompile(`'(DIBS_[A-Z_]+)'`).FindAllStringSubmatch(reading, -1) {
		known[name[1]] = true
	}
	references := regexp.MustCompile(`\$\((\w+)\)`)
	eachReplica(t, func(t *testing.T, w workload, c corev1.Container) {
		for name := range environment(t, c) {
			if strings.HasPrefix(name, "DIBS_") && !known[name] {
				t.Errorf("the configuration does not know %s", name)
			}
		}
		for at, v := range c.Env {
			for _, reference := range references.FindAllStringSubmatch(v.Value, -1) {
				// Kubernetes does not fill in a reference to a later variable.
				if !slices.ContainsFunc(c.Env[:at], func(before corev1.EnvVar) bool { return before.Name == reference[1] }) {
					t.Errorf("%s refers to %s, which is not above it", v.Name, reference[1])
				}
			}
		}
		for _, name := range []string{"DIBS_QUORUM_NODES", "DIBS_STORE_URL"} {
			if !slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == name }) {
				t.Errorf("without %s each replica would be a separate fleet", name)
			}
		}
	})
}

func TestDeclaredPortsAreThoseOfTheProcess(t *testing.T) {
	eachReplica(t, func(t *testing.T, w workload, c corev1.Container) {
		var listens, declared []string
		env := environment(t, c)
		for _, address := range []string{env["DIBS_LISTEN"], env["DIBS_HTTP_LISTEN"]} {
			if strings.HasPrefix(address, "unix:") {
				continue
			}
			host, port, _ := strings.Cut(address, ":")
			if host != "0.0.0.0" {
				t.Errorf("%s cannot be reached from outside the Pod", address)
			}
			listens = append(listens, port)
		}
		for _, port := range c.Ports {
			declared = append(declared, strconv.Itoa(int(port.ContainerPort)))
		}
		if !slices.Equal(listens, declared) {
			t.Errorf("the process listens on %v, and the manifest declares %v", listens, declared)
		}
	})
}
