package filebroker

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

// table describes the log's lives: a file in its directory, with a checksum and JSON, which is replaced as a whole.
type table struct {
	Version int     `json:"version"`
	Salt    uint32  `json:"salt"`
	Epochs  []epoch `json:"epochs"` // oldest first, the present one last

	// From these, the next life knows whether the log may have lost entries.
	Boot   string `json:"boot"`   // the machine's boot that it was opened in; "" for not known
	Inode  uint64 `json:"inode"`  // of the lock file: a copy has another one
	Synced bool   `json:"synced"` // everything acknowledged was synced
	Clean  bool   `json:"clean"`  // it was closed, and
	End    uint64 `json:"end"`    // its last seq was this one
}

// epoch is one life of the log, from first on until the next one's.
type epoch struct {
	ID    uint64 `json:"epoch"`
	First uint64 `json:"first"`
}

const (
	tableName    = "epochs"
	tableVersion = 1
	// maxEpochs limits how many lives without entries are remembered.
	maxEpochs = 1000
)

// readTable reads the table. If it is missing or damaged, known is false: then positions of earlier lives are unknown.
func readTable(dir string) (t table, known bool, err error) {
	path := filepath.Join(dir, tableName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t, false, err
	}
	sum, text, _ := strings.Cut(string(b), " ")
	if sum == fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) {
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return t, false, fmt.Errorf("%s: %w", path, err)
		}
		if t.Version != tableVersion {
			return t, false, fmt.Errorf("%s is of format version %d, and this program knows only version %d: it was written by a newer one", path, t.Version, tableVersion)
		}
		return t, true, nil
	}
	var salt [4]byte
	rand.Read(salt[:])
	return table{Version: tableVersion, Salt: binary.LittleEndian.Uint32(salt[:])}, false, nil
}

// write writes the table to the directory.
func (t *table) write(dir string) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, tableName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%08x %s", crc32.Checksum(text, castagnoli), text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		return syncDir(dir)
	}
	os.Remove(path + ".new") // on a full disk, it would take room from others
	return err
}

// begin adds a new life, whose first entry is next. oldest is the oldest entry that is left.
func (t *table) begin(next, oldest uint64) {
	for len(t.Epochs) > maxEpochs && t.Epochs[1].First < oldest {
		t.Epochs = t.Epochs[1:]
	}
	if n := len(t.Epochs); n > 1 && t.Clean && t.End < t.Epochs[n-1].First {
		t.Epochs = t.Epochs[:n-1] // it had no entry, so no position of it was ever given out
	}
	t.Epochs = append(t.Epochs, epoch{broker.NewEpoch(), next})
}

// position returns the position of an entry, or of the place before the first one.
func (t *table) position(seq uint64) broker.Position {
	for i := len(t.Epochs) - 1; i >= 0; i-- {
		if e := t.Epochs[i]; e.First <= seq || i == 0 {
			return broker.Position{Epoch: e.ID, Minor: seq}
		}
	}
	return broker.Position{}
}

// standing returns how a position stands to a log that holds entries from oldest to newest.
func (t *table) standing(p broker.Position, oldest, newest uint64) broker.Standing {
	if p != (broker.Position{Epoch: p.Epoch, Minor: p.Minor}) {
		return broker.Unknown
	}
	end, present := newest, true
	for i := len(t.Epochs) - 1; i >= 0; i-- {
		e := t.Epochs[i]
		switch {
		case e.ID != p.Epoch:
			end, present = min(end, e.First-1), false
			continue
		case p.Minor+1 < e.First:
			return broker.Unknown
		case p.Minor > end && present:
			return broker.Ahead
		case p.Minor > end:
			return broker.Lost
		case p.Minor+1 < oldest:
			return broker.Trimmed
		}
		return broker.Exact
	}
	return broker.Unknown
}
