package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	image_spec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Replaces the registry. It has those parts of the base image's configuration that our image could inherit.
type baseImage struct{}

func (baseImage) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(image_spec.DockerOCIImage{
		Image: ocispecs.Image{Platform: *opt.ImageOpt.Platform},
		Config: image_spec.DockerOCIImageConfig{ImageConfig: ocispecs.ImageConfig{
			Entrypoint: []string{"docker-entrypoint.sh"},
			Cmd:        []string{"node"},
			Env:        []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
		}},
	})
	return ref, digest.FromBytes(config), config, err
}

func options(t *testing.T, platform string, dockerfile []byte) dockerfile2llb.ConvertOpt {
	t.Helper()
	target, err := platforms.Parse(platform)
	if err != nil {
		t.Fatal(err)
	}
	source := llb.NewSourceMap(nil, "Dockerfile", "", dockerfile)
	source.Definition = &llb.Definition{}
	return dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}},
			LinterConfig:   &linter.Config{ExperimentalAll: true},
		},
		TargetPlatform: &target,
		MetaResolver:   baseImage{},
		SourceMap:      source,
	}
}

// The image's configuration, as `docker build` would create it.
func image(t *testing.T, platform string) *image_spec.DockerOCIImage {
	t.Helper()
	dockerfile := []byte(read(t, "Dockerfile"))
	result, err := dockerfile2llb.Dockerfile2LLB(t.Context(), dockerfile, options(t, platform, dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	return result.Image
}

func lint(t *testing.T, dockerfile string) []string {
	t.Helper()
	results, err := dockerfile2llb.DockerfileLint(t.Context(), []byte(dockerfile), options(t, "linux/amd64", []byte(dockerfile)))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	if results.Error != nil {
		said = append(said, results.Error.Message)
	}
	for _, warning := range results.Warnings {
		said = append(said, warning.RuleName)
	}
	return said
}

func TestDockerLintFindsNothing(t *testing.T) {
	if said := lint(t, read(t, "Dockerfile")); len(said) > 0 {
		t.Errorf("the linter reports %v", said)
	}
	for dockerfile, rule := range map[string]string{
		"FROM node AS one\nCMD node dist/main.js\n": "JSONArgsRecommended",
		"FROM node AS one\nENV DIBS_TOKEN=secret\n": "SecretsUsedInArgOrEnv",
		"FROM node AS one\nHEALTHCHEK CMD x\n":      "unknown instruction",
	} {
		if said := lint(t, dockerfile); !strings.Contains(strings.Join(said, " "), rule) {
			t.Errorf("%q: the linter reports %v and not %s", dockerfile, said, rule)
		}
	}
}

func TestTheImageOnEachPlatform(t *testing.T) {
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		t.Run(platform, func(t *testing.T) {
			made := image(t, platform)
			if platforms.Format(made.Platform) != platform {
				t.Errorf("the image is for %s", platforms.Format(made.Platform))
			}
			config := made.Config
			// Node is process 1, so no shell or script of the base image can keep SIGTERM from it.
			if !slices.Equal(config.Entrypoint, []string{"node", "--max-semi-space-size=64", "dist/main.js"}) || len(config.Cmd) != 0 {
				t.Errorf("the image starts %q %q", config.Entrypoint, config.Cmd)
			}
			if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(config.User) {
				t.Errorf("the user is %q, which may be root", config.User)
			}
			if config.Healthcheck == nil || !slices.Equal(config.Healthcheck.Test, []string{"CMD", "node", "healthcheck.mjs"}) {
				t.Errorf("the health check is %+v", config.Healthcheck)
			}
			for _, label := range []string{"title", "description", "licenses", "source", "version", "revision"} {
				if config.Labels["org.opencontainers.image."+label] == "" {
					t.Errorf("the image has no label for its %s", label)
				}
			}
			for _, pair := range config.Env {
				name, value, _ := strings.Cut(pair, "=")
				if name == "DIBS_INSECURE" {
					t.Error("the image allows clear text on every network")
				}
				if _, port, ok := strings.Cut(value, "0.0.0.0:"); ok {
					if _, exposed := config.ExposedPorts[port+"/tcp"]; !exposed {
						t.Errorf("%s listens on %s, which is not exposed", name, port)
					}
				}
			}
			if len(config.ExposedPorts) != 2 {
				t.Errorf("the image exposes %v", config.ExposedPorts)
			}
		})
	}
}

// A running service does not need them, and scanners find faults in them.
func TestPackageManagersStayBehind(t *testing.T) {
	dockerfile := read(t, "Dockerfile")
	final := dockerfile[strings.LastIndex(dockerfile, "\nFROM ")+1:]
	if !strings.HasPrefix(final, "FROM scratch\n") {
		t.Fatal("an image on a base image contains all its files, even those that a later layer removes")
	}
	for _, tool := range []string{"npm", "npx", "corepack", "yarn"} {
		if !regexp.MustCompile(`(?s)RUN rm -rf [^#]*/rootfs/usr/local/bin/` + tool).MatchString(dockerfile) {
			t.Errorf("%s is in the image", tool)
		}
	}
	for _, pair := range image(t, "linux/amd64").Config.Env {
		if strings.HasPrefix(pair, "PATH=") && strings.Contains(pair, "/usr/local/bin") {
			return
		}
	}
	t.Error("node is not on the PATH")
}

func TestTheVersionIsTheSameEverywhere(t *testing.T) {
	var manifest struct{ Version string }
	if err := json.Unmarshal([]byte(read(t, "package.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	if version := image(t, "linux/amd64").Config.Labels["org.opencontainers.image.version"]; version != manifest.Version {
		t.Errorf("the image is %s and the package %s", version, manifest.Version)
	}
	for _, kustomization := range kustomizations {
		for _, w := range workloads(render(t, kustomization)) {
			for _, c := range w.containers() {
				if c.Name == "dibs" && !strings.HasSuffix(c.Image, "dibs:"+manifest.Version) {
					t.Errorf("%s: %s is not %s", kustomization, c.Image, manifest.Version)
				}
			}
		}
	}
}

// The builder gets exactly what it copies. With more, secrets and history would travel along. With less, the build would fail.
func TestTheBuilderGetsWhatItCopies(t *testing.T) {
	ignored, err := ignorefile.ReadAll(strings.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(ignored)
	if err != nil {
		t.Fatal(err)
	}
	copied := sources(t)
	for _, path := range copied {
		if _, err := os.Stat(filepath.Join("..", "..", path)); err != nil {
			t.Error(err)
		}
		if out, _ := matcher.MatchesOrParentMatches(path); out {
			t.Errorf("%s is copied, but .dockerignore leaves it out", path)
		}
	}
	for _, pattern := range ignored {
		if sent, ok := strings.CutPrefix(pattern, "!"); ok && !slices.Contains(copied, sent) {
			t.Errorf("%s is sent, but not copied", sent)
		}
	}
	for _, path := range []string{".git/config", ".env", "node_modules/pino/pino.js", "dist/main.js", "test/deploy/go.mod", "deploy/README.md"} {
		if out, _ := matcher.MatchesOrParentMatches(path); !out {
			t.Errorf("%s is sent to the builder", path)
		}
	}
}

// The paths that COPY takes from the repository.
func sources(t *testing.T) []string {
	t.Helper()
	parsed, err := parser.Parse(bytes.NewReader([]byte(read(t, "Dockerfile"))))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, instruction := range parsed.AST.Children {
		if !strings.EqualFold(instruction.Value, "copy") || len(instruction.Flags) > 0 {
			continue
		}
		for from := instruction.Next; from.Next != nil; from = from.Next {
			found = append(found, from.Value)
		}
	}
	if len(found) == 0 {
		t.Fatal("the Dockerfile copies nothing")
	}
	return found
}
