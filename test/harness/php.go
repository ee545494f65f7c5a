package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// FPM is php-fpm with a fixed number of workers.
type FPM struct {
	*Process
	Address string // host:port
	status  string // Unix socket of the status page, which no worker serves
}

// Load is what php-fpm says of its workers.
type Load struct {
	Active  int `json:"active processes"`
	Total   int `json:"total processes"`
	Waiting int `json:"listen queue"`
}

// StatusAddress is where a Caddyfile finds the status page.
func (f *FPM) StatusAddress() string { return "unix/" + f.status }

// CheckFPM has php-fpm read a config of the repository.
func CheckFPM(t testing.TB, config string) (output string, err error) {
	t.Helper()
	cmd := fpm(t, config)
	cmd.Args = append(cmd.Args, "--test")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func fpm(t testing.TB, config string) *exec.Cmd {
	t.Helper()
	program := Program(t, "php-fpm", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm8.5")
	cmd := exec.Command(program, "--nodaemonize", "--fpm-config", config)
	if os.Geteuid() == 0 {
		cmd.Args = append(cmd.Args, "--allow-to-run-as-root")
	}
	cmd.Dir = Root()
	return cmd
}

// StartFPM starts php-fpm. env, as NAME=value, reaches the scripts.
func StartFPM(t testing.TB, workers int, env ...string) *FPM {
	t.Helper()
	dir := Dir(t)
	f := &FPM{Address: "127.0.0.1:" + Port(t), status: filepath.Join(dir, "status.sock")}
	var set strings.Builder
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		fmt.Fprintf(&set, "env[%s] = %q\n", name, value)
	}
	config := WriteFile(t, dir, "php-fpm.conf", fmt.Sprintf(`
[global]
daemonize = no
error_log = /dev/stderr
pid = %s
[www]
listen = %s
pm = static
pm.max_children = %d
pm.status_path = /fpm-status
pm.status_listen = %s
catch_workers_output = yes
%s`, filepath.Join(dir, "pid"), f.Address, workers, f.status, &set))
	f.Process = Start(t, "php-fpm", fpm(t, config))
	f.eventually(t, "php-fpm serves", func() bool { return accepts("unix", f.status) && accepts("tcp", f.Address) })
	return f
}

// Load asks php-fpm how busy it is.
func (f *FPM) Load(t testing.TB) Load {
	t.Helper()
	body, err := fastCGI("unix", f.status, map[string]string{
		"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/fpm-status", "SCRIPT_FILENAME": "/fpm-status", "QUERY_STRING": "json",
	})
	var load Load
	if err == nil {
		err = json.Unmarshal(body, &load)
	}
	if err != nil {
		t.Fatalf("status of php-fpm: %v\n%s", err, body)
	}
	return load
}

// Execute has a worker run a script.
func (f *FPM) Execute(script string) (body []byte, err error) {
	return fastCGI("tcp", f.Address, map[string]string{
		"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/" + filepath.Base(script), "SCRIPT_FILENAME": script,
	})
}

// StartPHP starts PHP's own web server in the repository's top folder, for a folder or for one script, and returns its host:port.
func StartPHP(t testing.TB, workers int, pages string, env ...string) string {
	t.Helper()
	address := "127.0.0.1:" + Port(t)
	cmd := exec.Command(Program(t, "php"), "-q", "-S", address)
	if strings.HasSuffix(pages, ".php") {
		cmd.Args = append(cmd.Args, pages)
	} else {
		cmd.Args = append(cmd.Args, "-t", pages)
	}
	cmd.Dir = Root()
	cmd.Env = append(append(os.Environ(), fmt.Sprintf("PHP_CLI_SERVER_WORKERS=%d", workers)), env...)
	p := Start(t, "php -S", cmd)
	p.eventually(t, "php -S serves", func() bool { return accepts("tcp", address) })
	return address
}
