package http2

import "crypto/tls"

// permitted reports whether HTTP/2 may be spoken on a connection (RFC 9113, 9.2). The inner server does not see the TLS below it, and
// cannot check this.
func permitted(s tls.ConnectionState) bool {
	switch s.Version {
	case tls.VersionTLS13:
		return true
	case tls.VersionTLS12:
	default:
		return false
	}
	switch s.CipherSuite { // those of crypto/tls that RFC 9113 does not prohibit
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return false
}
