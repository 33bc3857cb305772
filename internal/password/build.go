package password

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/FastFilter/xorfilter"
)

// BuildOptions say how BuildBreached reads its input.
type BuildOptions struct {
	Plain    bool              // lines are passwords, not SHA-1 hashes
	MinCount int               // leave out hashes seen less often; a line without a count counts as seen once
	Progress func(lines int64) // called every million lines and at the end; may be nil
}

// maxLine bounds a line of input in bytes.
const maxLine = 64 << 10

// BuildBreached reads a list of breached passwords and writes a filter to the file out, replacing it at once when all is
// done and not at all on an error. It returns how many different passwords the filter holds.
//
// Lines are SHA1HEX or SHA1HEX:COUNT (the format of Have I Been Pwned's full list, in any order), or with Plain one
// password each. Empty lines are skipped, doubles count once, anything else is an error naming the line. Beside out it
// needs free space of 8 bytes for each line until it ends, and memory for a 256th of the list.
func BuildBreached(ctx context.Context, in io.Reader, out string, o BuildOptions) (count uint64, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(out), ".breached-*")
	if err != nil {
		return 0, fmt.Errorf("build breached filter: %w", err)
	}
	defer os.RemoveAll(dir)
	spill, err := newSpill(dir)
	if err != nil {
		return 0, fmt.Errorf("build breached filter: %w", err)
	}
	defer spill.close()
	if err := spill.read(ctx, in, o); err != nil {
		return 0, fmt.Errorf("build breached filter: %w", err)
	}
	tmp := filepath.Join(dir, "filter")
	count, err = spill.write(ctx, tmp)
	if err != nil {
		return 0, fmt.Errorf("build breached filter: %w", err)
	}
	if err := os.Rename(tmp, out); err != nil {
		return 0, fmt.Errorf("build breached filter: %w", err)
	}
	return count, nil
}

// spill sorts keys by shard into files, so that building needs the keys of one shard in memory at a time.
type spill struct {
	files   [breachedShards]*os.File
	writers [breachedShards]*bufio.Writer
}

func newSpill(dir string) (*spill, error) {
	s := &spill{}
	for i := range s.files {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			s.close()
			return nil, err
		}
		s.files[i], s.writers[i] = f, bufio.NewWriterSize(f, 16<<10)
	}
	return s, nil
}

func (s *spill) close() {
	for _, f := range s.files {
		if f != nil {
			f.Close()
		}
	}
}

func (s *spill) read(ctx context.Context, in io.Reader, o BuildOptions) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, maxLine), maxLine)
	n := int64(0)
	for lines.Scan() {
		n++
		if n%1_000_000 == 0 && o.Progress != nil {
			o.Progress(n)
		}
		if n%10_000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, ok, err := parseLine(lines.Bytes(), o)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err) // never the line: it may be a password
		}
		if !ok {
			continue
		}
		if _, err := s.writers[key>>56].Write(binary.BigEndian.AppendUint64(nil, key)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after line %d: %w", n, err)
	}
	if o.Progress != nil {
		o.Progress(n)
	}
	return ctx.Err()
}

func parseLine(line []byte, o BuildOptions) (key uint64, ok bool, err error) {
	if o.Plain {
		line = bytes.TrimSuffix(line, []byte("\r")) // spaces may belong to the password
		if len(line) == 0 {
			return 0, false, nil
		}
		return breachedKey(sha1.Sum([]byte(Normalise(string(line))))), true, nil
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return 0, false, nil
	}
	text, counted, has := bytes.Cut(line, []byte(":"))
	var sum [sha1.Size]byte
	if len(text) != 2*len(sum) {
		return 0, false, errors.New("want 40 hexadecimal digits of SHA-1")
	}
	if _, err := hex.Decode(sum[:], text); err != nil {
		return 0, false, errors.New("want 40 hexadecimal digits of SHA-1")
	}
	seen := 1
	if has {
		if seen, err = strconv.Atoi(string(counted)); err != nil || seen < 0 {
			return 0, false, errors.New("want a count after the colon")
		}
	}
	return breachedKey(sum), seen >= o.MinCount, nil
}

func (s *spill) write(ctx context.Context, path string) (count uint64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	table, offset := []byte(nil), uint64(breachedHead)
	for i := range s.files {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		keys, err := s.keys(i)
		if err != nil {
			return 0, err
		}
		count += uint64(len(keys))
		sh, body, err := buildShard(keys)
		if err != nil {
			return 0, fmt.Errorf("shard %d: %w", i, err)
		}
		if _, err := f.WriteAt(body, int64(offset)); err != nil {
			return 0, err
		}
		table = binary.BigEndian.AppendUint64(table, offset)
		table = binary.BigEndian.AppendUint64(table, sh.seed)
		table = binary.BigEndian.AppendUint32(table, sh.segmentLength)
		table = binary.BigEndian.AppendUint32(table, sh.segmentCount)
		table = binary.BigEndian.AppendUint32(table, sh.fingerprints)
		table = binary.BigEndian.AppendUint32(table, crc32.Checksum(body, castagnoli))
		offset += uint64(len(body))
	}
	if count == 0 {
		return 0, errors.New("the input holds no password")
	}
	head := []byte(breachedMagic)
	head = binary.BigEndian.AppendUint32(head, breachedVersion)
	head = binary.BigEndian.AppendUint32(head, breachedShards)
	head = binary.BigEndian.AppendUint64(head, count)
	head = append(head, table...)
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	_, err = f.WriteAt(head, 0)
	return count, errors.Join(err, f.Sync(), f.Close())
}

// keys returns the keys of one shard, sorted and each once: a binary fuse filter cannot be built from doubles.
func (s *spill) keys(i int) ([]uint64, error) {
	if err := s.writers[i].Flush(); err != nil {
		return nil, err
	}
	if _, err := s.files[i].Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(s.files[i])
	if err != nil {
		return nil, err
	}
	keys := make([]uint64, len(raw)/8)
	for k := range keys {
		keys[k] = binary.BigEndian.Uint64(raw[8*k:])
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

func buildShard(keys []uint64) (shard, []byte, error) {
	if len(keys) == 0 {
		return shard{}, nil, nil
	}
	filter, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return shard{}, nil, err
	}
	body := make([]byte, 0, 2*len(filter.Fingerprints))
	for _, f := range filter.Fingerprints {
		body = binary.BigEndian.AppendUint16(body, f)
	}
	return shard{
		seed: filter.Seed, segmentLength: filter.SegmentLength, segmentCount: filter.SegmentCount,
		fingerprints: uint32(len(filter.Fingerprints)),
	}, body, nil
}
