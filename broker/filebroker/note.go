package filebroker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sse-push/caddy-sse-push/broker"
)

const noteSuffix = ".note"

// Keep implements broker.Keeper. After a crash of the machine, the earlier note may be back.
func (b *Broker) Keep(name string, note []byte) error {
	if b.life.Err() != nil {
		return broker.ErrClosed
	}
	if err := b.log.missing(); err != nil { // another directory is there now
		return err
	}
	path := filepath.Join(b.log.dir, name+noteSuffix)
	if err := os.WriteFile(path+".new", note, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Kept implements broker.Keeper.
func (b *Broker) Kept(name string) ([]byte, error) {
	note, err := os.ReadFile(filepath.Join(b.log.dir, name+noteSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return note, err
}

var _ broker.Keeper = (*Broker)(nil)
