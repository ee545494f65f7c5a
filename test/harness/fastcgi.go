package harness

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Records of FastCGI 1.0, section 8.
const (
	fcgiBegin  = 1
	fcgiEnd    = 3
	fcgiParams = 4
	fcgiStdin  = 5
	fcgiStdout = 6

	fcgiResponder = 1
)

// fastCGI makes one request without a body, and returns the body of the answer. A web server in between would be one more thing
// that could hold a worker.
func fastCGI(network, address string, params map[string]string) ([]byte, error) {
	conn, err := net.DialTimeout(network, address, Patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(4 * Patience)); err != nil {
		return nil, err
	}
	var names []byte
	for name, value := range params {
		names = append(names, byte(len(name))) // all are shorter than 128 or take the long form of a length
		names = binary.BigEndian.AppendUint32(names, uint32(len(value))|1<<31)
		names = append(append(names, name...), value...)
	}
	request := fcgiRecord(nil, fcgiBegin, []byte{0, fcgiResponder, 0, 0, 0, 0, 0, 0})
	request = fcgiRecord(request, fcgiParams, names)
	request = fcgiRecord(request, fcgiParams, nil)
	request = fcgiRecord(request, fcgiStdin, nil)
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}

	var stdout []byte
	var header struct {
		Version, Type    uint8
		ID, Length       uint16
		Padding, Reserve uint8
	}
	for header.Type != fcgiEnd {
		if err := binary.Read(conn, binary.BigEndian, &header); err != nil {
			return nil, err
		}
		content := make([]byte, int(header.Length)+int(header.Padding))
		if _, err := io.ReadFull(conn, content); err != nil {
			return nil, err
		}
		if header.Type == fcgiStdout {
			stdout = append(stdout, content[:header.Length]...)
		}
	}
	_, body, found := bytes.Cut(stdout, []byte("\r\n\r\n"))
	if !found {
		return nil, fmt.Errorf("no header in %.300q", stdout)
	}
	return body, nil
}

func fcgiRecord(to []byte, kind byte, content []byte) []byte {
	to = append(to, 1, kind, 0, 1)
	to = binary.BigEndian.AppendUint16(to, uint16(len(content)))
	return append(append(to, 0, 0), content...)
}
