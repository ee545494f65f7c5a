package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// tool runs a program in a folder, and returns what it prints.
func tool(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(harness.Program(t, name), args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, &complaints)
	}
	return string(out)
}

// files lists the files in a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(dir, path)
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The npm package holds its files and no others, is sound for Node, bundlers and TypeScript, and can be imported as its README says.
func TestNpmPackage(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	tool(t, filepath.Join(harness.Root(), "clients", "js"), nil, "npm", "pack", "--silent", "--pack-destination", dir)
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("packed: %q, %v", packed, err)
	}
	test := filepath.Join(harness.Root(), "test")
	installed := func(name string) string { return filepath.Join(test, "node_modules", ".bin", name) }
	tool(t, test, nil, installed("publint"), "--strict", packed[0])
	tool(t, test, nil, installed("attw"), packed[0], "--profile", "esm-only", "--format", "ascii", "--no-emoji")

	scope := filepath.Join(dir, "node_modules", "@sse-push")
	if err := os.MkdirAll(scope, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, scope, nil, "tar", "xf", packed[0])
	if err := os.Rename(filepath.Join(scope, "package"), filepath.Join(scope, "client")); err != nil {
		t.Fatal(err)
	}
	want := []string{"LICENSE", "README.md", "echo.d.ts", "echo.js", "package.json", "share.js", "sse-push.d.ts", "sse-push.js"}
	if got := files(t, filepath.Join(scope, "client")); !slices.Equal(got, want) {
		t.Errorf("the package holds %q, want %q", got, want)
	}
	if err := os.Symlink(filepath.Join(test, "node_modules", "laravel-echo"), filepath.Join(dir, "node_modules", "laravel-echo")); err != nil {
		t.Fatal(err)
	}
	harness.WriteFile(t, dir, "app.mjs", `import { SsePush } from '@sse-push/client';
import { SsePushConnector } from '@sse-push/client/echo';
process.stdout.write(SsePush.name + ' ' + SsePushConnector.name);`)
	if got := tool(t, dir, nil, "node", "app.mjs"); got != "SsePush SsePushConnector" {
		t.Errorf("an app that imports the package prints %q", got)
	}
	harness.WriteFile(t, dir, "app.mts", `import { SsePush } from '@sse-push/client';
import { SsePushConnector } from '@sse-push/client/echo';
const push = new SsePush('/events', { topics: ['orders/42'], share: true });
const user: string | null = push.user;
const options: ConstructorParameters<typeof SsePushConnector>[0] = { path: '/events' };
// @ts-expect-error
new SsePush('/events', { topics: 'orders/42' });
export { options, user };`)
	tool(t, test, nil, installed("tsc"), "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", filepath.Join(dir, "app.mts"))
}

// Composer finds nothing wrong with the packages for PHP, packs their files and no others, and installs them into an app that can
// use them.
func TestComposerPackages(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	env := []string{"COMPOSER_HOME=" + dir, "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_DISABLE_NETWORK=1"}
	php := filepath.Join(harness.Root(), "clients", "php")
	for name, want := range map[string][]string{
		"":        {"LICENSE", "README.md", "SsePush.php", "composer.json"},
		"laravel": {"LICENSE", "README.md", "composer.json", "src"},
	} {
		from, to := filepath.Join(php, name), filepath.Join(dir, "packed"+name)
		tool(t, from, env, "composer", "validate", "--strict", "--no-interaction")
		tool(t, from, env, "composer", "archive", "--format=tar", "--dir="+to, "--file=package", "--no-interaction")
		tool(t, to, nil, "tar", "xf", "package.tar")
		var got []string
		for _, file := range files(t, to) {
			if top, _, _ := strings.Cut(file, "/"); top != "package.tar" && !slices.Contains(got, top) {
				got = append(got, top)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("the package in clients/php/%s holds %q, want %q", name, got, want)
		}
	}

	repository := func(name, path string) map[string]any {
		return map[string]any{"type": "path", "url": path, "options": map[string]any{"symlink": false, "versions": map[string]string{name: versions(t)["clients/js/package.json"]}}}
	}
	laravel := map[string]string{} // in place of the framework, which is not in a registry here
	for _, part := range []string{"broadcasting", "cache", "routing", "support"} {
		laravel["illuminate/"+part] = "13.0.0"
	}
	app, err := json.Marshal(map[string]any{
		"repositories": []any{
			map[string]bool{"packagist.org": false},
			repository("sse-push/client", filepath.Join(dir, "packed")), repository("sse-push/laravel", filepath.Join(dir, "packedlaravel")),
		},
		"replace": laravel,
		"require": map[string]string{"sse-push/laravel": "^0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	harness.WriteFile(t, dir, "composer.json", string(app))
	tool(t, dir, env, "composer", "install", "--no-interaction", "--quiet")
	harness.WriteFile(t, dir, "app.php", `<?php
require 'vendor/autoload.php';
echo SsePush\Laravel\ChannelName::topic('private-orders.7'), ' ', class_exists('SsePush') ? 'and the client' : '';`)
	if got := tool(t, dir, nil, "php", "app.php"); got != "guarded/private-orders.7 and the client" {
		t.Errorf("an app that installs the package prints %q", got)
	}
}

// versions returns the version of each part that is published, by the file that says it.
func versions(t *testing.T) map[string]string {
	t.Helper()
	const plugin = "clients/wordpress/sse-push/"
	all := map[string]string{}
	for file, says := range map[string]string{
		"clients/js/package.json":                 `"version": "([^"]+)"`,
		plugin + "sse-push.php":                   `Version: +(\S+)`,
		plugin + "readme.txt":                     `Stable tag: (\S+)`,
		plugin + "blocks/events/view.asset.php":   `'version' => '([^']+)'`,
		plugin + "blocks/events/editor.asset.php": `'version' => '([^']+)'`,
		"clients/php/laravel/composer.json":       `"sse-push/client": "\^([^"]+)"`,
		"CHANGELOG.md":                            `(?m)^## \[?(\d[^\] ]*)`,
	} {
		for _, m := range regexp.MustCompile(says).FindAllStringSubmatch(harness.File(t, file), 1) {
			all[file] = m[1]
		}
	}
	return all
}

// All parts have one version, which is that of the newest release in the changelog once there is one.
func TestVersions(t *testing.T) {
	t.Parallel()
	all := versions(t)
	want := all["clients/js/package.json"]
	if len(all) < 6 || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(want) {
		t.Fatalf("the versions are %q", all)
	}
	for file, got := range all {
		if got != want && !strings.HasPrefix(want, got+".") {
			t.Errorf("%s is of version %s, and clients/js of %s", file, got, want)
		}
	}
}

// The headers of the WordPress plugin say the same in both files, and as much as its directory of plugins wants.
func TestWordPressHeaders(t *testing.T) {
	t.Parallel()
	header := func(file, name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^[ *]*` + name + `:[ \t]*(.+)$`).FindStringSubmatch(harness.File(t, "clients/wordpress/sse-push/"+file))
		if m == nil {
			t.Fatalf("%s has no header %q", file, name)
		}
		return m[1]
	}
	for _, name := range []string{"Requires at least", "Requires PHP", "License", "License URI"} {
		if readme, plugin := header("readme.txt", name), header("sse-push.php", name); readme != plugin {
			t.Errorf("%s: readme.txt says %q, sse-push.php %q", name, readme, plugin)
		}
	}
	if tags := strings.Split(header("readme.txt", "Tags"), ","); len(tags) > 5 {
		t.Errorf("%d tags, at most five count", len(tags))
	}
	header("readme.txt", "Tested up to")
	header("sse-push.php", "Plugin Name")
	header("sse-push.php", "Text Domain")
	_, text, _ := strings.Cut(harness.File(t, "clients/wordpress/sse-push/readme.txt"), "\n\n")
	if short, _, _ := strings.Cut(text, "\n"); short == "" || len(short) > 150 {
		t.Errorf("the short description is %q, want 1 to 150 characters", short)
	}
	for _, section := range []string{"Description", "Installation", "Changelog"} {
		if !strings.Contains(text, "\n== "+section+" ==\n") {
			t.Errorf("readme.txt has no section %s", section)
		}
	}
}

// Each package that is published on its own has the license with it.
func TestLicenses(t *testing.T) {
	t.Parallel()
	want := harness.File(t, "LICENSE")
	for _, folder := range []string{"clients/js", "clients/php", "clients/php/laravel"} {
		if harness.File(t, folder+"/LICENSE") != want {
			t.Errorf("%s/LICENSE is not the license of the repository", folder)
		}
	}
}
