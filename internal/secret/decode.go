package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Decodings returns what text stands for if it is base64 (standard or URL-safe, padded or not, in lines or not) or hex.
func Decodings(text string) (found [][]byte) {
	compact := squeeze(text)
	if b, err := hex.DecodeString(strings.ReplaceAll(compact, ":", "")); err == nil && len(b) > 0 {
		found = append(found, b)
	}
	if b, err := base64.RawStdEncoding.DecodeString(standard(strings.TrimRight(compact, "="))); err == nil && len(b) > 0 {
		found = append(found, b)
	}
	return found
}

// squeeze removes quotes and white space, including the escaped line ends of .env files.
func squeeze(text string) string {
	return strings.Join(strings.Fields(quotesAndLineEnds.Replace(text)), "")
}

var quotesAndLineEnds = strings.NewReplacer(`\r`, "", `\n`, "", `"`, "", "'", "")

// standard returns URL-safe base64 in the standard alphabet.
func standard(text string) string { return urlSafe.Replace(text) }

var urlSafe = strings.NewReplacer("-", "+", "_", "/")

const (
	maxLooked = 64 << 10 // how many bytes of a text are looked at
	maxStarts = 16       // at how many words of a text base64 may begin
)

// guesses returns what b may decode to, damaged or not: without the zero bytes of UTF-16, without percent-encoding, from hex, and from base64.
// The base64 may begin at any of the first words, may have lost its first characters, and may be followed by anything.
func guesses(b []byte) (found [][]byte) {
	if len(b) > maxLooked {
		b = b[:maxLooked]
	}
	if bytes.IndexByte(b, 0) >= 0 {
		b = bytes.ReplaceAll(bytes.TrimLeft(b, "\xff\xfe"), []byte{0}, nil)
		found = append(found, b)
	}
	if !utf8.Valid(b) {
		return found
	}
	text := string(b)
	if plain, err := url.PathUnescape(text); err == nil && plain != text {
		found = append(found, []byte(plain))
	}
	found = append(found, Decodings(text)...)
	if b, err := hex.DecodeString(bytesInCode.Replace(squeeze(text))); err == nil && len(b) > 0 {
		found = append(found, b)
	}
	text = escapedLineEnds.Replace(text)
	words := strings.FieldsFunc(text, func(r rune) bool { return !isBase64(r) })
	for i := range min(len(words), maxStarts) {
		joined := standard(strings.Join(words[i:], ""))
		found = append(found, prefix64(joined))
		for lost := 1; i == 0 && lost < 4; lost++ {
			found = append(found, prefix64(strings.Repeat("A", lost)+joined))
		}
	}
	return found
}

var escapedLineEnds = strings.NewReplacer(`\r`, "\n", `\n`, "\n")

// bytesInCode removes all but the digits of bytes that are written as in C: 0x30, 0x82.
var bytesInCode = strings.NewReplacer("0x", "", "0X", "", ",", "", `\x`, "", "{", "", "}", "", "[", "", "]", "", ";", "")

// prefix64 decodes base64 up to the first byte that is not base64.
func prefix64(text string) []byte {
	decoded := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, _ := base64.RawStdEncoding.Decode(decoded, []byte(text))
	return decoded[:n]
}

func isBase64(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/-_", r)
}
