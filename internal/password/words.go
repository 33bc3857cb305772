package password

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"slices"
	"strings"
	"sync"
)

// Sources and licences: data/NOTICE.
var (
	//go:embed data/common.txt.gz
	commonGz []byte
	//go:embed data/words.en.txt.gz
	wordsEnGz []byte
	//go:embed data/words.de.txt.gz
	wordsDeGz []byte
)

// The lists are unpacked when first needed (about 15 ms and 2 MB for the largest) and never changed.
var (
	common  = sync.OnceValue(func() []string { return unpack(commonGz) })
	wordsEn = sync.OnceValue(func() []string { return unpack(wordsEnGz) })
	wordsDe = sync.OnceValue(func() []string { return unpack(wordsDeGz) })
)

func unpack(gz []byte) []string {
	r, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		panic("password: embedded list: " + err.Error())
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic("password: embedded list: " + err.Error())
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// isCommon reports whether s, folded, stands in the list of the commonest passwords.
func isCommon(s string) bool {
	_, found := slices.BinarySearch(common(), s)
	return found
}
