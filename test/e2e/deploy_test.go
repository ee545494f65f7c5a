package e2e_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// There is no container engine here: the files are read as strictly as their own tools read them, and Caddy runs the configs in them.

// The services of compose.yaml mount files that are there, and each Caddyfile names services that are.
func TestCompose(t *testing.T) {
	t.Parallel()
	options, err := cli.NewProjectOptions([]string{filepath.Join(harness.Root(), "compose.yaml")}, cli.WithProfiles([]string{"cluster", "frankenphp"}),
		cli.WithEnv([]string{"SSE_PUSH_TOKEN=" + strings.Repeat("t", 32)}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	services := project.ServiceNames()
	if want := []string{"balancer", "caddy", "frankenphp", "node1", "node2", "node3", "php", "redis"}; !slices.Equal(slices.Sorted(slices.Values(services)), want) {
		t.Errorf("the services are %v, want %v", services, want)
	}
	for _, s := range project.Services {
		for _, v := range s.Volumes {
			if path, ok := strings.CutPrefix(v.Source, harness.Root()+"/"); ok {
				if found, _ := filepath.Glob(v.Source); len(found) != 1 {
					t.Errorf("%s mounts %s, which is not there", s.Name, path)
				}
			}
		}
	}
	for _, file := range []string{"deploy/compose.Caddyfile", "deploy/balancer.Caddyfile"} {
		text := harness.File(t, file)
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n{}/", r) }) {
			if name, port, ok := strings.Cut(word, ":"); ok && (port == "8080" || port == "9000") && name != "" && name != "http" && !slices.Contains(services, name) {
				t.Errorf("%s names %s, which is no service", file, name)
			}
		}
	}
	balancer := filepath.Join(harness.Root(), "deploy", "balancer.Caddyfile")
	if out, err := harness.RunCaddy(t, "validate", "--config", balancer, "--adapter", "caddyfile"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The chat of compose.yaml works with its Caddyfiles, in folders as they are mounted. That of FrankenPHP runs with php-fpm here: one
// directive is another.
func TestComposeChat(t *testing.T) {
	t.Parallel()
	for file, pairs := range map[string][]string{
		"deploy/compose.Caddyfile":    {"php:9000", "$PHP", "http://caddy:8080", "$URL"},
		"deploy/frankenphp.Caddyfile": {"{\n\tfrankenphp\n}\n", "", "php_server {", "file_server\n\tphp_fastcgi $PHP {", "http://localhost:8080", "$URL"},
	} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			fpm, port, token := harness.StartFPM(t, 2, "SSE_PUSH_TOKEN="+strings.Repeat("t", 32)), harness.Port(t), strings.Repeat("t", 32)
			url := "http://localhost:" + port
			caddyfile := harness.File(t, file, append(pairs, "http://:8080", "http://:"+port, "/srv/", harness.Root()+"/")...)
			harness.StartCaddy(t, "{\n\tdefault_bind 127.0.0.1\n}\n"+harness.Replace(t, file, caddyfile, "$PHP", fpm.Address, "$URL", url), "SSE_PUSH_TOKEN="+token)
			ann, ben := enter(t, harness.NewProfile(t), url, "ann"), enter(t, harness.NewProfile(t), url, "ben")
			say(ann, "", "hello room")
			for _, tab := range []*harness.Tab{ann, ben} {
				tab.Wait(line("ann hello room"))
			}
		})
	}
}

// Each object of the manifest has the fields of its kind, and no others; the config in it is one that Caddy loads.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	kinds := map[string]any{
		"ConfigMap": new(corev1.ConfigMap), "Deployment": new(appsv1.Deployment), "Service": new(corev1.Service),
		"PodDisruptionBudget": new(policyv1.PodDisruptionBudget), "HorizontalPodAutoscaler": new(autoscalingv2.HorizontalPodAutoscaler),
	}
	for document := range strings.SplitSeq(harness.File(t, "deploy/kubernetes.yaml"), "\n---\n") {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		object := kinds[kind.Kind]
		if object == nil {
			t.Fatalf("no test knows the kind %q", kind.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
		delete(kinds, kind.Kind)
		if c, ok := object.(*corev1.ConfigMap); ok {
			secret := strings.Repeat("s", 32)
			path := harness.WriteFile(t, harness.Dir(t), "Caddyfile", harness.Replace(t, "the Caddyfile", c.Data["Caddyfile"],
				"{env.SSE_PUSH_TOKEN}", secret, "{env.SSE_PUSH_TICKET_SECRET}", secret))
			if out, err := harness.RunCaddy(t, "validate", "--config", path, "--adapter", "caddyfile"); err != nil {
				t.Errorf("the Caddyfile: %v\n%s", err, out)
			}
		}
	}
	for kind := range kinds {
		t.Errorf("the manifest has no %s", kind)
	}
}

// A linter of Dockerfiles has nothing to say.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"Dockerfile", "deploy/frankenphp.Dockerfile"} {
		cmd := exec.Command(harness.Program(t, "npx"), "--no", "dockerfile-utils", "lint", filepath.Join(harness.Root(), file))
		cmd.Dir = filepath.Join(harness.Root(), "test")
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
