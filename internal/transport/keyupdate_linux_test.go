package transport_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
)

// A client may ask for new keys while the socket is full: the answer, which a read makes, is queued like all else, and what follows it
// is encrypted with the new keys.
func TestKeyUpdateWithAFullSocket(t *testing.T) {
	var secrets bytes.Buffer
	conn, client := handshake(t, nil, &tls.Config{KeyLogWriter: &secrets, MinVersion: tls.VersionTLS13})
	if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("this test can only encrypt with AES, and the two have agreed on %s", tls.CipherSuiteName(suite))
	}
	n := fill(t, conn)
	queued := conn.Queued()
	if _, err := client.NetConn().Write(keyUpdate(t, secrets.String())); err != nil {
		t.Fatal(err)
	}
	w := newWatcher()
	conn.Watch(w)
	for conn.Queued() == queued {
		if _, err := conn.TryRead(make([]byte, 100)); !errors.Is(err, syscall.EAGAIN) {
			t.Fatalf("got %v", err)
		}
		if conn.Queued() > queued {
			break
		}
		if err := conn.AwaitRead(); err != nil {
			t.Fatal(err)
		}
		wait(t, "the key update", w.readable)
	}
	if _, err := conn.Write([]byte("with the new keys")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, n+len("with the new keys"))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.HasSuffix(got, []byte("xwith the new keys")) {
		t.Errorf("got %q, %v", got[n-1:], err)
	}
}

// keyUpdate returns the first record that a client sends after the handshake, if it is a KeyUpdate that asks for one of the server
// (RFC 8446, sections 4.6.3, 5.2 and 7.3). crypto/tls does not send that by itself.
func keyUpdate(t *testing.T, keyLog string) []byte {
	t.Helper()
	var secret []byte
	for line := range strings.Lines(keyLog) {
		if fields := strings.Fields(line); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			var err error
			if secret, err = hex.DecodeString(fields[2]); err != nil {
				t.Fatal(err)
			}
		}
	}
	expand := func(label string, length int) []byte {
		label = "tls13 " + label
		info := string([]byte{0, byte(length), byte(len(label))}) + label + "\x00"
		out, err := hkdf.Expand(sha256.New, secret, info, length)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	const handshakeType = 22
	text := []byte{24, 0, 0, 1, 1, handshakeType}
	header := []byte{23, 3, 3, 0, byte(len(text) + aead.Overhead())}
	return aead.Seal(header, expand("iv", 12), text, header) // the first record's number is 0, so that the nonce is the iv
}
