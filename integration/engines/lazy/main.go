// lazy-judge reads layers that can be pulled lazily as those do who pull them so: containerd's stargz
// snapshotter, and Podman's and CRI-O's storage.
//
//	lazy-judge estargz      BLOB ANNOTATIONS
//	lazy-judge zstd:chunked BLOB ANNOTATIONS FOLDER
//
// ANNOTATIONS is a file with the layer's as JSON, FOLDER is empty: a store is made in it. It prints every file,
// and of zstd:chunked the digest of the tar that the store puts together from them.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/chunked"
	"go.podman.io/storage/pkg/reexec"
)

// A file as it was read.
type file struct {
	Type   string            `json:"type"`
	Mode   int64             `json:"mode"`
	Uid    int               `json:"uid"`
	Gid    int               `json:"gid"`
	Mtime  int64             `json:"mtime"`
	Link   string            `json:"link,omitempty"`
	Sha256 string            `json:"sha256,omitempty"`
	Xattrs map[string]string `json:"xattrs,omitempty"`
}

type answer struct {
	DiffID string          `json:"diffId,omitempty"`
	Files  map[string]file `json:"files"`
}

func main() {
	if reexec.Init() {
		return
	}
	found, err := judge(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(1)
	}
}

func judge(words []string) (*answer, error) {
	if len(words) < 3 {
		return nil, errors.New("usage: lazy-judge FORMAT BLOB ANNOTATIONS [FOLDER]")
	}
	text, err := os.ReadFile(words[2])
	if err != nil {
		return nil, err
	}
	var annotations map[string]string
	if err := json.Unmarshal(text, &annotations); err != nil {
		return nil, err
	}
	blob, err := os.Open(words[1])
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	switch {
	case words[0] == "estargz":
		return stargz(blob, annotations)
	case words[0] == "zstd:chunked" && len(words) == 4:
		return zstdChunked(blob, annotations, words[3])
	}
	return nil, fmt.Errorf("no format: %s", words[0])
}

func stargz(blob *os.File, annotations map[string]string) (*answer, error) {
	info, err := blob.Stat()
	if err != nil {
		return nil, err
	}
	reader, err := estargz.Open(io.NewSectionReader(blob, 0, info.Size()))
	if err != nil {
		return nil, err
	}
	toc, err := digest.Parse(annotations[estargz.TOCJSONDigestAnnotation])
	if err != nil {
		return nil, err
	}
	verifiers, err := reader.VerifyTOC(toc)
	if err != nil {
		return nil, err
	}
	if _, ok := reader.Lookup(estargz.NoPrefetchLandmark); !ok {
		return nil, errors.New("the layer has no landmark")
	}
	root, ok := reader.Lookup("")
	if !ok {
		return nil, errors.New("the layer has no root")
	}
	all := &answer{Files: map[string]file{}}
	return all, walk(reader, verifiers, "", root, all.Files)
}

func walk(reader *estargz.Reader, verifiers estargz.TOCEntryVerifier, folder string, in *estargz.TOCEntry, all map[string]file) error {
	var failed error
	in.ForeachChild(func(name string, entry *estargz.TOCEntry) bool {
		at := path.Join(folder, name)
		one := file{
			Type: entry.Type, Mode: entry.Mode, Uid: entry.UID, Gid: entry.GID,
			Mtime: max(entry.ModTime().Unix(), 0), Link: entry.LinkName, Xattrs: map[string]string{},
		}
		for key, value := range entry.Xattrs {
			one.Xattrs[key] = hex.EncodeToString(value)
		}
		if entry.Type == "reg" {
			one.Sha256, failed = content(reader, verifiers, at, entry)
		}
		all[at] = one
		if failed == nil && entry.Type == "dir" {
			failed = walk(reader, verifiers, at, entry, all)
		}
		return failed == nil
	})
	return failed
}

// content reads a file piece by piece, each checked by itself.
func content(reader *estargz.Reader, verifiers estargz.TOCEntryVerifier, name string, entry *estargz.TOCEntry) (string, error) {
	whole := sha256.New()
	file, err := reader.OpenFile(name)
	if err != nil {
		return "", err
	}
	for at := int64(0); at < entry.Size; {
		chunk, ok := reader.ChunkEntryForOffset(name, at)
		if !ok {
			return "", fmt.Errorf("%s: no piece at %d", name, at)
		}
		verifier, err := verifiers.Verifier(chunk)
		if err != nil {
			return "", err
		}
		piece := make([]byte, chunk.ChunkSize)
		if _, err := file.ReadAt(piece, at); err != nil && err != io.EOF {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.Copy(io.MultiWriter(verifier, whole), bytes.NewReader(piece)); err != nil {
			return "", err
		}
		if !verifier.Verified() {
			return "", fmt.Errorf("%s: the piece at %d is another one", name, at)
		}
		at += chunk.ChunkSize
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

// source gives ranges of a blob, as a registry does.
type source struct{ blob *os.File }

func (s source) GetBlobAt(chunks []chunked.ImageSourceChunk) (chan io.ReadCloser, chan error, error) {
	streams, errs := make(chan io.ReadCloser), make(chan error)
	go func() {
		defer close(streams)
		defer close(errs)
		for _, chunk := range chunks {
			streams <- io.NopCloser(io.NewSectionReader(s.blob, int64(chunk.Offset), int64(chunk.Length)))
		}
	}()
	return streams, errs, nil
}

func zstdChunked(blob *os.File, annotations map[string]string, folder string) (*answer, error) {
	info, err := blob.Stat()
	if err != nil {
		return nil, err
	}
	store, err := storage.GetStore(storage.StoreOptions{
		RunRoot:         path.Join(folder, "run"),
		GraphRoot:       path.Join(folder, "graph"),
		GraphDriverName: "overlay",
		PullOptions:     map[string]string{"enable_partial_images": "true"},
	})
	if err != nil {
		return nil, err
	}
	defer store.Shutdown(true)
	sum, err := digest.FromReader(blob)
	if err != nil {
		return nil, err
	}
	differ, err := chunked.NewDiffer(context.Background(), store, sum, info.Size(), annotations, source{blob})
	if err != nil {
		return nil, err
	}
	defer differ.Close()
	staged, err := store.PrepareStagedLayer(nil, differ)
	if err != nil {
		return nil, err
	}
	layer, err := store.ApplyStagedLayer(storage.ApplyStagedLayerOptions{DiffOutput: staged})
	if err != nil {
		return nil, err
	}
	diff, err := store.Diff("", layer.ID, nil)
	if err != nil {
		return nil, err
	}
	defer diff.Close()
	whole := sha256.New()
	read := io.TeeReader(diff, whole)
	all := &answer{Files: map[string]file{}}
	if err := entries(tar.NewReader(read), all.Files); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, read); err != nil {
		return nil, err
	}
	all.DiffID = "sha256:" + hex.EncodeToString(whole.Sum(nil))
	if string(layer.UncompressedDigest) != all.DiffID {
		return nil, fmt.Errorf("the store expects the tar %s and has %s", layer.UncompressedDigest, all.DiffID)
	}
	return all, nil
}

func entries(from *tar.Reader, all map[string]file) error {
	types := map[byte]string{
		tar.TypeReg: "reg", tar.TypeLink: "hardlink", tar.TypeSymlink: "symlink", tar.TypeDir: "dir",
		tar.TypeChar: "char", tar.TypeBlock: "block", tar.TypeFifo: "fifo",
	}
	for {
		header, err := from.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		one := file{
			Type: types[header.Typeflag], Mode: header.Mode, Uid: header.Uid, Gid: header.Gid,
			Mtime: header.ModTime.Unix(), Link: header.Linkname, Xattrs: map[string]string{},
		}
		for key, value := range header.PAXRecords {
			if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
				one.Xattrs[name] = hex.EncodeToString([]byte(value))
			}
		}
		if header.Typeflag == tar.TypeReg {
			whole := sha256.New()
			if _, err := io.Copy(whole, from); err != nil {
				return err
			}
			one.Sha256 = hex.EncodeToString(whole.Sum(nil))
		}
		all[strings.TrimSuffix(header.Name, "/")] = one
	}
}
