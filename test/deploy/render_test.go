// Package deploy checks deploy/ and the Dockerfile without a cluster and without Docker, with the code that kubectl, the API
// server and the image builder run.
package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const kubernetes = "../../deploy/kubernetes"

// Everything that a user may apply, or install from a chart.
var kustomizations = []string{
	"service", "quorum", "examples/fleet", "examples/traced", "examples/own-redis", "examples/redis-tls", "examples/one-node",
	"examples/sidecar", "examples/doctor", "helm/fleet", "helm/one-node", "helm/traced", "helm/redis-tls", "helm/own-redis",
	"helm/secured", "helm/sidecar",
}

// Accepts exactly the fields that the API server knows, and no field twice.
var strict = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		schedulingv1.AddToScheme, monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

func decode(rendered *resource.Resource) (runtime.Object, error) {
	text, err := rendered.AsYAML()
	if err != nil {
		return nil, err
	}
	object, _, err := strict.Decode(text, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rendered.CurId(), err)
	}
	return object, nil
}

func build(files filesys.FileSystem, path string) ([]runtime.Object, error) {
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, path)
	if err != nil {
		return nil, err
	}
	var objects []runtime.Object
	for _, one := range rendered.Resources() {
		object, err := decode(one)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// The objects that `kubectl apply -k` or `helm install` would send.
func render(t *testing.T, kustomization string) []runtime.Object {
	t.Helper()
	if strings.HasPrefix(kustomization, "helm/") {
		return renderInstallation(t, kustomization)
	}
	objects, err := build(filesys.MakeFsOnDisk(), filepath.Join(kubernetes, kustomization))
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) == 0 {
		t.Fatalf("%s renders to nothing", kustomization)
	}
	return objects
}

func of[Kind runtime.Object](objects []runtime.Object) []Kind {
	var found []Kind
	for _, object := range objects {
		if one, ok := object.(Kind); ok {
			found = append(found, one)
		}
	}
	return found
}

func TestTheAPIServerKnowsEveryKustomization(t *testing.T) {
	for _, kustomization := range kustomizations {
		t.Run(kustomization, func(t *testing.T) { render(t, kustomization) })
	}
}

// If these passed, the test above would prove nothing.
func TestUnknownFieldsAreRefused(t *testing.T) {
	const kustomization = "resources: [pod.yaml]\n"
	const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n    - name: c\n      image: i\n"
	cases := []struct{ name, kustomization, pod, says string }{
		{"nothing is wrong", kustomization, pod, ""},
		{"a field is misspelt", kustomization, pod + "      livenessProbee: {}\n", `unknown field "spec.containers[0].livenessProbee"`},
		{"a field is in the wrong place", kustomization, pod + "      terminationGracePeriodSeconds: 5\n", `unknown field "spec.containers[0].terminationGracePeriodSeconds"`},
		{"a field occurs twice", kustomization, pod + "      image: j\n", `"image" already defined`},
		{"a value is of another type", kustomization, pod + "      ports: [{containerPort: '80'}]\n", "cannot unmarshal string"},
		{"a kind is misspelt", kustomization, strings.Replace(pod, "kind: Pod", "kind: Pot", 1), `no kind "Pot"`},
		{"the kustomization has a misspelt field", kustomization + "commonLabel: {}\n", pod, `unknown field "commonLabel"`},
		{"a patch has a misspelt field", kustomization + "patches:\n  - patch: |-\n      apiVersion: v1\n      kind: Pod\n      metadata: {name: p}\n      spec: {hostNetwerk: true}\n", pod, `unknown field "spec.hostNetwerk"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := filesys.MakeFsInMemory()
			for path, text := range map[string]string{"kustomization.yaml": c.kustomization, "pod.yaml": c.pod} {
				if err := files.WriteFile(path, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := build(files, ".")
			switch {
			case c.says == "" && err != nil:
				t.Fatal(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Fatalf("want an error that says %s, got %v", c.says, err)
			}
		})
	}
}
