package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// identity is a certificate for localhost that signs itself.
type identity struct {
	certificate, key string // files
	roots            *x509.CertPool
}

func newIdentity(dir string) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	id := &identity{filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
	id.roots.AddCert(parsed)
	for name, block := range map[string]*pem.Block{
		id.certificate: {Type: "CERTIFICATE", Bytes: der},
		id.key:         {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	return id, nil
}

// files returns what a server needs, and what its clients need.
func (id *identity) files(p protocol) (certificate, key string, client *tls.Config) {
	return id.certificate, id.key, &tls.Config{RootCAs: id.roots, ServerName: "localhost", NextProtos: []string{p.alpn()}}
}
