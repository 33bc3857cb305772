package password

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"os"
)

// ErrBreachedFile means that a file is no breached filter of a version this program knows, or is cut or damaged.
var ErrBreachedFile = errors.New("breached filter is not usable")

// A breached filter is a file, all numbers big-endian:
//
//	magic "rgnbrch\n" (8) · version (4) · shards (4) · passwords (8)
//	256 × shard: offset (8) · seed (8) · segment length (4) · segment count (4) · fingerprints (4) · CRC-32C of them (4)
//	CRC-32C of all before (4)
//	fingerprints of each shard, 2 bytes each
//
// The key of a password is the first 8 bytes of the SHA-1 of its normalised UTF-8; its first byte is the shard. A shard is
// a binary fuse filter with three hashes and 16-bit fingerprints (Graf and Lemire 2022, as github.com/FastFilter/xorfilter
// builds it): every password of the list is found, another one by mistake with a chance of 1 in 65,536. A billion
// passwords take about 2.3 GB. Shards bound the memory of building to about a hundredth of what one filter would take.
const (
	breachedMagic   = "rgnbrch\n"
	breachedVersion = 1
	breachedShards  = 256
	breachedTable   = 8 + 4 + 4 + 8
	breachedEntry   = 8 + 8 + 4 + 4 + 4 + 4
	breachedHead    = breachedTable + breachedShards*breachedEntry + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// shard is one binary fuse filter within the file.
type shard struct {
	offset, seed                              uint64
	segmentLength, segmentCount, fingerprints uint32
	sum                                       uint32
}

// Breached is an open breached filter. It stays in the file: a look-up reads three places, which the system's page cache
// keeps, so its size costs no memory of ours. Safe for concurrent use.
type Breached struct {
	file   *os.File
	shards [breachedShards]shard
	count  uint64
}

// OpenBreached opens a filter that BuildBreached wrote and reads it once to check every checksum (a gigabyte in about a
// second). A file that is cut, damaged, or of another version is ErrBreachedFile. A file that replaces it by renaming
// is seen after the next OpenBreached.
func OpenBreached(path string) (*Breached, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open breached filter: %w", err)
	}
	b := &Breached{file: f}
	if err := b.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func (b *Breached) load() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBreachedFile, fmt.Sprintf(format, args...))
	}
	head := make([]byte, breachedHead)
	if _, err := b.file.ReadAt(head, 0); err != nil {
		return bad("no complete header")
	}
	if string(head[:8]) != breachedMagic {
		return bad("it is no breached filter")
	}
	if v := binary.BigEndian.Uint32(head[8:]); v != breachedVersion {
		return bad("version %d, this program knows %d", v, breachedVersion)
	}
	end := breachedHead - 4
	if crc32.Checksum(head[:end], castagnoli) != binary.BigEndian.Uint32(head[end:]) || binary.BigEndian.Uint32(head[12:]) != breachedShards {
		return bad("header is damaged")
	}
	b.count = binary.BigEndian.Uint64(head[16:])
	offset := uint64(breachedHead)
	buf := make([]byte, 1<<20)
	for i := range b.shards {
		e := head[breachedTable+i*breachedEntry:]
		s := shard{
			offset: binary.BigEndian.Uint64(e), seed: binary.BigEndian.Uint64(e[8:]),
			segmentLength: binary.BigEndian.Uint32(e[16:]), segmentCount: binary.BigEndian.Uint32(e[20:]),
			fingerprints: binary.BigEndian.Uint32(e[24:]), sum: binary.BigEndian.Uint32(e[28:]),
		}
		// Places are computed from these: they must lie within the shard whatever a damaged or forged table says.
		sound := s.fingerprints == 0 || s.segmentLength > 0 && bits.OnesCount32(s.segmentLength) == 1 && s.segmentCount > 0 &&
			(uint64(s.segmentCount)+2)*uint64(s.segmentLength) <= uint64(s.fingerprints)
		if s.offset != offset || !sound {
			return bad("shard %d does not fit", i)
		}
		h := crc32.New(castagnoli)
		part := io.NewSectionReader(b.file, int64(offset), 2*int64(s.fingerprints))
		if n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{part}, buf); err != nil || n != 2*int64(s.fingerprints) {
			return bad("it is cut in shard %d", i)
		}
		if h.Sum32() != s.sum {
			return bad("shard %d is damaged", i)
		}
		offset += 2 * uint64(s.fingerprints)
		b.shards[i] = s
	}
	if info, err := b.file.Stat(); err != nil || uint64(info.Size()) != offset {
		return bad("it goes on after its end")
	}
	return nil
}

// Count returns how many passwords the filter was built from.
func (b *Breached) Count() uint64 { return b.count }

// Close closes the file. Contains returns an error from then on.
func (b *Breached) Close() error { return b.file.Close() }

// Contains reports whether pw, normalised, is in the filter; a password that is not is reported with a chance of 1 in
// 65,536. An error means that the file could not be read and nothing is known.
func (b *Breached) Contains(pw string) (bool, error) {
	return b.contains(breachedKey(sha1.Sum([]byte(Normalise(pw)))))
}

func breachedKey(sum [sha1.Size]byte) uint64 { return binary.BigEndian.Uint64(sum[:]) }

func (b *Breached) contains(key uint64) (bool, error) {
	s := b.shards[key>>56]
	if s.fingerprints == 0 {
		return false, nil
	}
	h := key + s.seed // murmur3's finaliser over key and seed
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	hi, _ := bits.Mul64(h, uint64(s.segmentCount)*uint64(s.segmentLength))
	mask := s.segmentLength - 1
	h0 := uint32(hi)
	h1 := (h0 + s.segmentLength) ^ uint32(h>>18)&mask
	h2 := (h0 + 2*s.segmentLength) ^ uint32(h)&mask
	got := uint16(h ^ h>>32)
	for _, place := range [...]uint32{h0, h1, h2} {
		var f [2]byte
		if _, err := b.file.ReadAt(f[:], int64(s.offset)+2*int64(place)); err != nil {
			return false, fmt.Errorf("read breached filter: %w", err)
		}
		got ^= binary.BigEndian.Uint16(f[:])
	}
	return got == 0, nil
}
