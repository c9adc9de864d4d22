// Command go-oracle answers what the upstream Go libraries would do, so that
// mlbuild's own selection and transfer can be compared with theirs.
//
// `go-oracle ask` reads one JSON question a line and writes one JSON answer a
// line. `go-oracle receive DIR` and `go-oracle send DIR` speak the transfer
// protocol over stdin and stdout, each packet after its length as four
// big-endian bytes.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	gofs "io/fs"
	"os"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

type question struct {
	Op       string   `json:"op"`
	Patterns [][]byte `json:"patterns"`
	Paths    [][]byte `json:"paths"`
	Content  []byte   `json:"content"`
	Root     string   `json:"root"`
	Include  []string `json:"include"`
	Exclude  []string `json:"exclude"`
	Follow   []string `json:"follow"`
}

type entry struct {
	Path     []byte            `json:"path"`
	Mode     uint32            `json:"mode"`
	Size     int64             `json:"size"`
	ModTime  int64             `json:"mtime"`
	Linkname []byte            `json:"linkname"`
	Major    int64             `json:"major"`
	Minor    int64             `json:"minor"`
	Xattrs   map[string][]byte `json:"xattrs"`
}

type answer struct {
	Error   string   `json:"error"`
	Matches []string `json:"matches"`
	Lines   []string `json:"lines"`
	Entries []entry  `json:"entries"`
}

func answerMatch(q question) (a answer) {
	patterns := make([]string, len(q.Patterns))
	for i, p := range q.Patterns {
		patterns[i] = string(p)
	}
	pm, err := patternmatcher.New(patterns)
	if err != nil {
		a.Error = err.Error()
		return
	}
	for _, p := range q.Paths {
		m, err := pm.MatchesOrParentMatches(string(p))
		switch {
		case err != nil:
			a.Matches = append(a.Matches, "error")
		case m:
			a.Matches = append(a.Matches, "yes")
		default:
			a.Matches = append(a.Matches, "no")
		}
	}
	return
}

func selectFS(q question) (fsutil.FS, error) {
	fs, err := fsutil.NewFS(q.Root)
	if err != nil {
		return nil, err
	}
	// As BuildKit's client wraps each local folder.
	fs, err = fsutil.NewFilterFS(fs, &fsutil.FilterOpt{Map: resetOwner})
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(fs, &fsutil.FilterOpt{
		IncludePatterns: q.Include,
		ExcludePatterns: q.Exclude,
		FollowPaths:     q.Follow,
	})
}

func resetOwner(_ string, st *types.Stat) fsutil.MapResult {
	st.Uid = 0
	st.Gid = 0
	return fsutil.MapResultKeep
}

func answerWalk(q question) (a answer) {
	fs, err := selectFS(q)
	if err != nil {
		a.Error = err.Error()
		return
	}
	err = fsutil.WithHardlinkReset(fs).Walk(context.Background(), "/", func(p string, d gofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*types.Stat)
		a.Entries = append(a.Entries, entry{
			Path: []byte(st.Path), Mode: st.Mode, Size: st.Size, ModTime: st.ModTime,
			Linkname: []byte(st.Linkname), Major: st.Devmajor, Minor: st.Devminor, Xattrs: st.Xattrs,
		})
		return nil
	})
	if err != nil {
		a.Error = err.Error()
	}
	return
}

func answerFollow(q question) (a answer) {
	fs, err := fsutil.NewFS(q.Root)
	if err != nil {
		a.Error = err.Error()
		return
	}
	a.Lines, err = fsutil.FollowLinks(fs, q.Follow)
	if err != nil {
		a.Error = err.Error()
	}
	return
}

func ask() error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var q question
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			return err
		}
		var a answer
		switch q.Op {
		case "match":
			a = answerMatch(q)
		case "ignorefile":
			lines, err := ignorefile.ReadAll(bytes.NewReader(q.Content))
			a.Lines = lines
			if err != nil {
				a.Error = err.Error()
			}
		case "walk":
			a = answerWalk(q)
		case "follow":
			a = answerFollow(q)
		default:
			return fmt.Errorf("unknown op %q", q.Op)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

// pipe is a packet stream over stdin and stdout.
type pipe struct {
	in  *bufio.Reader
	out *bufio.Writer
}

func (*pipe) Context() context.Context { return context.Background() }

func (p *pipe) SendMsg(m any) error {
	dt, err := m.(*types.Packet).MarshalVT()
	if err != nil {
		return err
	}
	if err := binary.Write(p.out, binary.BigEndian, uint32(len(dt))); err != nil {
		return err
	}
	if _, err := p.out.Write(dt); err != nil {
		return err
	}
	return p.out.Flush()
}

func (p *pipe) RecvMsg(m any) error {
	var n uint32
	if err := binary.Read(p.in, binary.BigEndian, &n); err != nil {
		return err
	}
	dt := make([]byte, n)
	if _, err := io.ReadFull(p.in, dt); err != nil {
		return err
	}
	return m.(*types.Packet).UnmarshalVT(dt)
}

func run() error {
	conn := &pipe{in: bufio.NewReader(os.Stdin), out: bufio.NewWriter(os.Stdout)}
	switch {
	case len(os.Args) == 2 && os.Args[1] == "ask":
		return ask()
	case len(os.Args) == 3 && os.Args[1] == "receive":
		return fsutil.Receive(context.Background(), conn, os.Args[2], fsutil.ReceiveOpt{})
	case len(os.Args) == 3 && os.Args[1] == "send":
		fs, err := fsutil.NewFS(os.Args[2])
		if err != nil {
			return err
		}
		return fsutil.Send(context.Background(), conn, fs, nil)
	}
	return fmt.Errorf("usage: go-oracle ask | receive DIR | send DIR")
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "go-oracle:", err)
		os.Exit(1)
	}
}
