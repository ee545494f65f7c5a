package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// startFloor runs this program again as the floor.
func startFloor(ctx context.Context, b *bench, s *scenario, _ protocol) (*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &target{host: "floor", batches: true, encode: encodeFloor}
	t.path = func(user int) string { return "/?userId=" + userName(user) }
	for _, address := range []*string{&t.address, &t.control} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	patience := "5000"
	if s.slowClients {
		patience = "0"
	}
	if t.process, err = startProcess(filepath.Join(b.dir, "floor.log"), nil, self, "floor", t.address, t.control, patience); err != nil {
		return nil, err
	}
	return t, t.listening(ctx, t.address, t.control)
}

// encodeFloor writes a line for each event, and asks for one answer at the end.
func encodeFloor(dst []byte, events []event) ([]byte, int) {
	at := now()
	for _, e := range events {
		if e.user < 0 {
			dst = append(dst, '*')
		} else {
			dst = strconv.AppendInt(dst, int64(e.user), 10)
		}
		dst = append(dst, ' ')
		dst = appendPayload(dst, e, at)
		dst = append(dst, '\n')
	}
	return append(dst, "?\n"...), 1
}

// floor is the least that a server on epoll could do: one write call for each delivery.
type floor struct {
	epoll, clients, control int
	patience                int // ms that it waits for a socket that is full, before it lets it go

	users   [1 << 16]int32 // descriptors; 0 for none
	highest int
	owners  [1 << 16]int32 // the other way round, plus one

	publishers map[int][]byte // by descriptor: the beginning of a line whose end has not come
	frame      []byte
	buf        [64 << 10]byte
}

const floorHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n:\n\n"

// runFloor is the sub-command: floor <clients' address> <publishers' address> <patience>.
func runFloor(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("floor: want 3 arguments, got %d", len(args))
	}
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	if _, err := raiseDescriptors(); err != nil {
		return err
	}
	f := &floor{publishers: map[int][]byte{}}
	var err error
	if f.patience, err = strconv.Atoi(args[2]); err != nil {
		return err
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if f.clients, err = f.listen(args[0]); err != nil {
		return err
	}
	if f.control, err = f.listen(args[1]); err != nil {
		return err
	}
	return f.run()
}

func (f *floor) listen(address string) (int, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		return 0, err
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return 0, err
	}
	return fd, f.watch(fd, unix.EPOLLIN)
}

func (f *floor) watch(fd int, events uint32) error {
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (f *floor) run() error {
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			fd := int(ev.Fd)
			if fd == f.clients || fd == f.control {
				if err := f.accept(fd); err != nil {
					return err
				}
				continue
			}
			if _, ok := f.publishers[fd]; !ok {
				f.greet(fd)
			} else if !f.obey(fd) {
				delete(f.publishers, fd)
				unix.Close(fd)
			}
		}
	}
}

func (f *floor) accept(from int) error {
	for {
		fd, _, err := unix.Accept4(from, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil || fd >= len(f.owners) {
			return fmt.Errorf("floor: accepting descriptor %d: %w", fd, err)
		}
		if from == f.control {
			f.publishers[fd] = nil
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		if err := f.watch(fd, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
			return err
		}
	}
}

// greet answers a client's request, or lets a client go that has left.
func (f *floor) greet(fd int) {
	n, err := unix.Read(fd, f.buf[:])
	if err == unix.EAGAIN {
		return
	}
	_, name, found := bytes.Cut(f.buf[:max(n, 0)], []byte("userId=u"))
	name, _, _ = bytes.Cut(name, []byte(" "))
	user, ok := digits(name)
	if !found || !ok || user >= uint64(len(f.users)) {
		f.drop(fd)
		return
	}
	f.users[user], f.owners[fd] = int32(fd), int32(user)+1
	f.highest = max(f.highest, int(user)+1)
	f.write(fd, []byte(floorHead))
}

func (f *floor) drop(fd int) {
	if owner := f.owners[fd]; owner > 0 {
		if f.users[owner-1] == int32(fd) {
			f.users[owner-1] = 0
		}
		f.owners[fd] = 0
	}
	unix.Close(fd)
}

// obey does what a publisher says: "<user> <data>", "* <data>" for everybody, "?" to be answered.
func (f *floor) obey(fd int) bool {
	n, err := unix.Read(fd, f.buf[:])
	if err == unix.EAGAIN {
		return true
	}
	if n <= 0 {
		return false
	}
	lines := f.buf[:n]
	pending := f.publishers[fd]
	if len(pending) > 0 {
		lines = append(pending, lines...)
	}
	for {
		line, rest, found := bytes.Cut(lines, []byte("\n"))
		if !found {
			f.publishers[fd] = append(pending[:0], lines...)
			return true
		}
		lines = rest
		to, data, _ := bytes.Cut(line, []byte(" "))
		if string(to) == "?" {
			f.write(fd, []byte("HTTP/1.1 204 No Content\r\n\r\n"))
			continue
		}
		f.frame = append(append(append(f.frame[:0], "data: "...), data...), "\n\n"...)
		if string(to) == "*" {
			for _, client := range f.users[:f.highest] {
				if client > 0 {
					f.write(int(client), f.frame)
				}
			}
		} else if user, ok := digits(to); ok && user < uint64(len(f.users)) && f.users[user] > 0 {
			f.write(int(f.users[user]), f.frame)
		}
	}
}

func (f *floor) write(fd int, b []byte) {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EAGAIN {
			ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, f.patience)
			if err != nil && err != unix.EINTR || ready == 0 {
				f.drop(fd)
				return
			}
			continue
		}
		if err != nil {
			f.drop(fd)
			return
		}
		b = b[n:]
	}
}
