package harness

import (
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
)

// StartMariaDB starts MariaDB with an empty database of that name, and returns its socket. Its user root needs no password.
func StartMariaDB(t testing.TB, database string) (socket string) {
	t.Helper()
	dir := Dir(t)
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "db.sock")
	as := "--user=" + userName(t) // as root it asks to be told so
	install := exec.Command(Program(t, "mariadb-install-db"), "--no-defaults", as, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	cmd := exec.Command(Program(t, "mariadbd"), "--no-defaults", as, "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--pid-file="+filepath.Join(dir, "pid"), "--innodb-flush-log-at-trx-commit=0")
	p := Start(t, "mariadbd", cmd)
	client := func(statement string) error {
		return exec.Command(Program(t, "mariadb"), "--no-defaults", "--user=root", "--socket="+socket, "-e", statement).Run()
	}
	p.eventually(t, "mariadbd serves", func() bool { return client("SELECT 1") == nil })
	if err := client("CREATE DATABASE " + database); err != nil {
		t.Fatal(err)
	}
	return socket
}

func userName(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}
