package deploy

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v4/pkg/chart/common"
	values "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	linter "helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	packer "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
)

const helm = "../../deploy/helm"

// Hides Helm's log line for each link that it follows, at each load.
func init() { slog.SetLogLoggerLevel(slog.LevelWarn) }

// A chart with its files of values, of which later ones win as with `helm install --values`, and the equal kustomization.
type installation struct {
	chart     string
	namespace string
	values    []string
	equals    string
}

// Everything that a user may install.
var installations = map[string]installation{
	"helm/fleet":     {"dibs", "dibs", []string{"fleet"}, "examples/fleet"},
	"helm/one-node":  {"dibs", "dibs", []string{"one-node"}, "examples/one-node"},
	"helm/traced":    {"dibs", "dibs", []string{"fleet", "traced"}, "examples/traced"},
	"helm/redis-tls": {"dibs", "dibs", []string{"fleet", "redis-tls"}, "examples/redis-tls"},
	"helm/own-redis": {"dibs", "dibs", []string{"own-redis"}, "examples/own-redis"},
	"helm/secured":   {"dibs", "shop", []string{"fleet", "secured"}, ""},
	"helm/sidecar":   {"examples/prices", "shop", nil, "examples/sidecar"},
}

func valuesOf(t *testing.T, one installation) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, name := range one.values {
		file, err := common.ReadValuesFile(filepath.Join(helm, one.chart, "examples", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all = values.CoalesceTables(file, all)
	}
	return all
}

func loadChart(t *testing.T, path string) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// The objects that `helm install` would send.
func renderChart(loaded *chart.Chart, namespace string, set map[string]any) ([]runtime.Object, error) {
	if err := packer.ProcessDependencies(loaded, set); err != nil {
		return nil, err
	}
	options := common.ReleaseOptions{Name: "any", Namespace: namespace, IsInstall: true, Revision: 1}
	all, err := values.ToRenderValues(loaded, set, options, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, err
	}
	var objects []runtime.Object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, document := range strings.Split("\n"+files[name], "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			object, _, err := strict.Decode([]byte(document), nil, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, document)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

func renderInstallation(t *testing.T, name string) []runtime.Object {
	t.Helper()
	one, known := installations[name]
	if !known {
		t.Fatalf("there is no installation %s", name)
	}
	objects, err := renderChart(loadChart(t, filepath.Join(helm, one.chart)), one.namespace, valuesOf(t, one))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// Objects made from files. To roll out changes, Kustomize appends a hash to their names, and Helm puts a checksum in the Pod.
var hashed = []string{"dibs-policy", "dibs-lock", "dibs-store"}

func plainName(name string) string {
	for _, base := range hashed {
		if rest, is := strings.CutPrefix(name, base+"-"); is && len(rest) == 10 {
			return base
		}
	}
	return name
}

// The objects by kind and name, without the parts that differ on purpose.
func comparable(t *testing.T, objects []runtime.Object) map[string]runtime.Object {
	t.Helper()
	all := map[string]runtime.Object{}
	for _, object := range objects {
		metadata, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		kind := object.GetObjectKind().GroupVersionKind().Kind
		if kind == "Namespace" {
			// `helm install --create-namespace` creates it.
			continue
		}
		metadata.SetName(plainName(metadata.GetName()))
		labels := metadata.GetLabels()
		delete(labels, "app.kubernetes.io/managed-by")
		delete(labels, "helm.sh/chart")
		metadata.SetLabels(labels)
		if config, is := object.(*corev1.ConfigMap); is {
			for name, text := range config.Data {
				config.Data[name] = settings(t, name, text)
			}
		}
		for _, template := range templates(object) {
			delete(template.Annotations, "checksum/config")
			if len(template.Annotations) == 0 {
				template.Annotations = nil
			}
			for at, volume := range template.Spec.Volumes {
				if volume.ConfigMap != nil {
					template.Spec.Volumes[at].ConfigMap.Name = plainName(volume.ConfigMap.Name)
				}
			}
			// Their order has no meaning, because they are used by name.
			slices.SortFunc(template.Spec.Volumes, func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) })
			for at := range template.Spec.Containers {
				c := &template.Spec.Containers[at]
				if c.ImagePullPolicy == corev1.PullIfNotPresent {
					// The default of an image with a tag.
					c.ImagePullPolicy = ""
				}
				// Only references depend on the order. TestEveryVariableIsKnown checks them.
				slices.SortFunc(c.Env, func(a, b corev1.EnvVar) int { return strings.Compare(a.Name, b.Name) })
				slices.SortFunc(c.VolumeMounts, func(a, b corev1.VolumeMount) int { return strings.Compare(a.Name, b.Name) })
			}
		}
		name := kind + " " + path.Join(metadata.GetNamespace(), metadata.GetName())
		if all[name] != nil {
			t.Errorf("%s exists twice", name)
		}
		all[name] = object
	}
	return all
}

// YAML in a normal form. Other files stay as they are.
func settings(t *testing.T, name, text string) string {
	t.Helper()
	if !strings.HasSuffix(name, ".yaml") {
		return text
	}
	var said any
	if err := yaml.Unmarshal([]byte(text), &said); err != nil {
		t.Fatal(err)
	}
	plain, err := yaml.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestChartsRenderWhatKustomizeBuilds(t *testing.T) {
	for name, one := range installations {
		if one.equals == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			wanted, got := comparable(t, render(t, one.equals)), comparable(t, render(t, name))
			for object := range got {
				if wanted[object] == nil {
					t.Errorf("%s has %s, and %s does not", name, object, one.equals)
				}
			}
			for object := range wanted {
				if got[object] == nil {
					t.Errorf("%s has no %s", name, object)
				} else if !equality.Semantic.DeepEqual(wanted[object], got[object]) {
					t.Errorf("%s differs (- Kustomize, + Helm):\n%s", object, diff.Diff(wanted[object], got[object]))
				}
			}
		})
	}
}

func TestHelmLintFindsNothing(t *testing.T) {
	check := func(t *testing.T, folder, namespace string, set map[string]any) []support.Message {
		t.Helper()
		return linter.RunAll(folder, set, namespace).Messages
	}
	for name, one := range installations {
		t.Run(name, func(t *testing.T) {
			for _, message := range check(t, filepath.Join(helm, one.chart), one.namespace, valuesOf(t, one)) {
				t.Error(message)
			}
		})
	}
	for _, message := range check(t, filepath.Join(helm, "dibs-sidecar"), "shop", nil) {
		// A library chart renders nothing by itself.
		t.Error(message)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "Chart.yaml"), []byte("apiVersion: v2\nname: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(check(t, broken, "x", nil)) == 0 {
		t.Error("a chart without a version passes")
	}
}

// The package that is pushed to a registry contains the manifests, not links to files outside of it.
func TestThePackageIsComplete(t *testing.T) {
	one := installations["helm/secured"]
	loaded := loadChart(t, filepath.Join(helm, one.chart))
	archive, err := packer.Save(loaded, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got, err := renderChart(loadChart(t, archive), one.namespace, valuesOf(t, one))
	if err != nil {
		t.Fatal(err)
	}
	if wanted := render(t, "helm/secured"); !equality.Semantic.DeepEqual(wanted, got) {
		t.Errorf("the package renders %d objects, which differ from the folder's %d", len(got), len(wanted))
	}
	for _, file := range loaded.Files {
		if strings.HasSuffix(file.Name, "kustomization.yaml") || strings.HasSuffix(file.Name, ".test.yaml") {
			t.Errorf("the package has %s, which it does not need", file.Name)
		}
	}
}

// An error names the value and its bound, before anything is installed.
func TestWrongValuesAreRefused(t *testing.T) {
	cases := []struct{ set, says string }{
		{"{}", ""},
		{"image: {repository: ''}", "image.repository: set it"},
		{"replica: {min: 3}", "replica"},
		{"replicas: {min: 0}", "minimum"},
		{"replicas: {min: 1}", ""},
		{"replicas: {min: 13}", "replicas.min: is 13, and at most replicas.max, 12"},
		{"replicas: {min: 12}", ""},
		{"replicas: {cpuMillicores: 49}", "minimum"},
		{"replicas: {cpuMillicores: 1000}", ""},
		{"replicas: {cpuMillicores: 1001}", "maximum"},
		{"quorum: {spread: none}", "must be one of"},
		{"quorum: {nodes: 3}", "nodes"},
		{"store: {maxmemoryMb: 15}", "minimum"},
		{"store: {maxmemoryMb: 16}", ""},
		{"tracing: {protocol: http}", "must be one of"},
		{"tracing: {ratio: 1}", ""},
		{"tracing: {ratio: 1.01}", "maximum"},
		{"networkPolicy: {redisCidrs: [redis.example.com]}", "redisCidrs"},
		{"networkPolicy: {redisPorts: [65536]}", "maximum"},
		{"env: {LOG_LEVEL: debug}", "LOG_LEVEL"},
		{"env: {DIBS_LOG_LEVEL: debug}", ""},
		{"priorityClass: {create: true}", "priorityClass.name: name the class"},
		{"image: {digest: latest}", "digest"},
		{"tls: {clientCa: true}", "tls.clientCa: is true while tls.secret is empty"},
		{"monitoring: {serviceMonitor: true}", ""},
		{"{auth: {secret: a}, monitoring: {serviceMonitor: true}}", "monitoring.serviceMonitor: with auth.secret"},
		{"{auth: {secret: a}, tls: {secret: t}, monitoring: {serviceMonitor: true}}", "monitoring.serviceMonitor: with auth.secret"},
		// Without tls.clientCa, the replicas ask for no certificate.
		{"{auth: {secret: a}, tls: {secret: t}, monitoring: {serviceMonitor: true, tlsConfig: {cert: {}}}}", "monitoring.serviceMonitor: with auth.secret"},
		{"{auth: {secret: a}, tls: {secret: t, clientCa: true}, monitoring: {serviceMonitor: true, tlsConfig: {cert: {}}}}", ""},
		{"{auth: {secret: a}, monitoring: {serviceMonitor: true, authorization: {credentials: {name: s, key: token}}}}", ""},
		{"{auth: {secret: a}}", ""},
		{"{tls: {secret: t, clientCa: true}, monitoring: {serviceMonitor: true}}", "monitoring.serviceMonitor: with tls.clientCa and without auth.secret"},
		{"{tls: {secret: t, clientCa: true}, monitoring: {serviceMonitor: true, authorization: {credentials: {name: s, key: token}}}}", "monitoring.serviceMonitor: with tls.clientCa and without auth.secret"},
		{"{tls: {secret: t}, monitoring: {serviceMonitor: true}}", ""},
	}
	for _, c := range cases {
		t.Run(c.set, func(t *testing.T) {
			set, err := common.ReadValues([]byte(c.set))
			if err != nil {
				t.Fatal(err)
			}
			all := values.CoalesceTables(set, map[string]any{"image": map[string]any{"repository": "dibs"}})
			_, err = renderChart(loadChart(t, filepath.Join(helm, "dibs")), "dibs", all)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("want an error that says %s, got %v", c.says, err)
			}
		})
	}
}
