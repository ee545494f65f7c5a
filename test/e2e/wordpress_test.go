package e2e_test

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// WordPress, as Debian packages it, with the plugin: new posts appear in open pages, a user who is logged in hears what is sent to that
// user, and nobody else does; the settings, and the block in the editor.
func TestWordPress(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	copyTree := func(from, to string) {
		t.Helper()
		if out, err := exec.Command("cp", "-RL", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	root := filepath.Join(dir, "wordpress")
	copyTree("/usr/share/wordpress", root)
	own := testdata(t, "wordpress")
	for _, file := range []string{"wp-config.php", "install.php", "publish.php"} {
		copyTree(filepath.Join(own, file), filepath.Join(root, file))
	}
	copyTree(filepath.Join(own, "theme"), filepath.Join(root, "wp-content", "themes", "test"))
	zipped, err := exec.Command(harness.Program(t, "sh"), filepath.Join(harness.Root(), "clients", "wordpress", "build.sh")).Output()
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := zip.OpenReader(strings.TrimSpace(string(zipped)))
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close()
	if err := os.CopyFS(filepath.Join(root, "wp-content", "plugins"), plugin); err != nil {
		t.Fatal(err)
	}

	secret := strings.Repeat("s", 32)
	port := harness.Port(t)
	url := "http://localhost:" + port
	env := []string{"SITE_URL=" + url, "TICKET_SECRET=" + secret, "DB_SOCKET=" + harness.StartMariaDB(t, "wordpress")}
	script := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(harness.Program(t, "php"), args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("php %v: %v\n%s%s", args, err, out, &complaints)
		}
		return string(out)
	}
	if out := script("install.php"); !strings.HasSuffix(out, "installed") {
		t.Fatalf("install.php says %.2000s", out)
	}
	fpm := harness.StartFPM(t, 4, env...)
	harness.StartCaddy(t, `{
	default_bind 127.0.0.1
}
`+url+` {
	sse_push /events {
		user ticket {env.TICKET_SECRET}
		anonymous
		topics public/*
		internal /_sse {
			allow loopback
		}
	}
	root `+root+`
	php_fastcgi `+fpm.Address+`
	file_server
}
`, env...)
	route := harness.Route{URL: url + "/_sse"}
	listeners := func() int {
		var topic struct{ Connections int }
		route.Get(t, "/topics/public%2Fnews", &topic)
		return topic.Connections
	}

	visitor := harness.NewProfile(t)
	news := visitor.OpenTab(t, url+"/?pagename=news")
	harness.EventuallyEqual(t, "listeners", 1, listeners)
	const list = `[...document.querySelectorAll('.wp-block-sse-push-events li')].map((item) => item.textContent).join('|')`
	if got := harness.Eval[string](news, list); got != "No news yet." {
		t.Errorf("the list is %q", got)
	}
	if out := script("publish.php", "post", "Tom & <b>Jerry</b>"); out != "done" {
		t.Fatalf("publish.php says %s", out)
	}
	news.Wait(list + ` === 'Tom & <b>Jerry</b>'`)
	if at := harness.Eval[string](news, `document.querySelector('.wp-block-sse-push-events a').href`); !strings.HasPrefix(at, url+"/?p=") {
		t.Errorf("the post is at %s", at)
	}

	admin := harness.NewProfile(t)
	tab := admin.OpenTab(t, url+"/wp-login.php")
	tab.Wait(`document.activeElement?.id === 'user_login'`) // which the page sees to after a moment
	tab.Fill("#user_login", "admin")
	tab.Fill("#user_pass", "a-password-of-a-test")
	tab.Click("#wp-submit")
	tab.Wait(`document.querySelector('#wpadminbar') !== null`)
	tab.Goto(url + "/?pagename=notices")
	notices := visitor.OpenTab(t, url+"/?pagename=notices")
	harness.EventuallyEqual(t, "connections of the user 1", 1, func() int { return route.Connections(t, "1") })
	harness.EventuallyEqual(t, "listeners", 3, listeners)
	if out := script("publish.php", "notice", "1", "for the admin"); out != "done" {
		t.Fatalf("publish.php says %s", out)
	}
	tab.Wait(list + ` === 'for the admin'`)
	route.Publish(t, harness.Event{"topic": "public/news", "event": "notice", "data": "for all"})
	notices.Wait(list + ` === 'for all'`) // and nothing that was for the admin
	tab.Wait(list + ` === 'for all|for the admin'`)

	tab.Goto(url + "/wp-admin/options-general.php?page=sse_push")
	tab.Wait(`document.body.innerText.includes('The internal route answers.')`)
	tab.Screenshot("wordpress-settings")
	tab.Fill("#sse_push_path", "events")
	tab.Click("#submit")
	tab.Wait(`document.body.innerText.includes('must begin with a slash') && document.querySelector('#sse_push_path').value === '/events'`)
	if text := harness.Eval[string](tab, `document.documentElement.outerHTML`); strings.Contains(text, secret) {
		t.Error("the settings page has the secret")
	}
	tab.Goto(url + "/wp-admin/post-new.php")
	tab.Wait(`window.wp?.blocks?.getBlockType('sse-push/events')?.title === 'Live events'`)
}
