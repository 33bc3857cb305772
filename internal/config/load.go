package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Source says where a configuration is read from. The zero value reads nothing and gives the defaults, which do not
// pass Check.
type Source struct {
	File    string            // the path of a YAML file of at most 1 MiB; "" reads none
	Environ []string          // NAME=value as of os.Environ; names without the prefix REGAIN_ are passed over
	Flags   map[string]string // keys given on the command line, such as "listen" or "log.level"
}

// Fault is one thing wrong with a configuration.
type Fault struct {
	Where string // regain.yaml:12, REGAIN_MAIL__HOST or --listen; "" when nothing was set there
	Key   string // the key to change, such as directories.0.bind_dn; "" when the whole file cannot be read
	Say   string // what is wanted and what was found, without secrets
	line  int
}

func (f *Fault) Error() string {
	return strings.Join(slices.DeleteFunc([]string{f.Where, f.Key, f.Say}, func(s string) bool { return s == "" }), ": ")
}

const (
	envPrefix = "REGAIN_"
	maxFile   = 1 << 20
	maxSecret = 64 << 10
	maxList   = 256  // entries of any list
	maxKeys   = 1000 // keys of one section of the file
)

// Load reads every source, reads the secrets that stand in files of their own, and checks the result. The error joins
// every fault found, each a *Fault, in the order of the file; a Config that comes with an error must not be used. Load
// keeps no state: calling it again reads everything anew.
func Load(from Source) (Config, error) {
	l := &loader{origin: map[string]origin{}}
	var b []byte
	if from.File != "" {
		b = l.readFile(from.File)
	}
	return l.load(from.File, b, from.Environ, from.Flags)
}

// load is Load with the file's content in hand.
func (l *loader) load(path string, b []byte, environ []string, flags map[string]string) (Config, error) {
	k := koanf.New(".")
	l.readYAML(k, path, b)
	l.readEnviron(k, environ)
	l.overlay(k, "--", flags)

	c := Defaults()
	l.decode(&c, k.Raw())
	for _, err := range split(c.Check()) {
		if f, ok := errors.AsType[*Fault](err); ok && !l.told(f.Key) {
			l.fault(f.Key, "%s", f.Say)
		}
	}
	return c, l.faults()
}

type origin struct {
	where string
	line  int // orders the faults: lines of the file first, then the environment, then flags
}

type loader struct {
	origin map[string]origin // key → where it was set last
	found  []*Fault
}

func (l *loader) fault(key, format string, args ...any) {
	at := l.originOf(key)
	l.found = append(l.found, &Fault{Where: at.where, Key: key, Say: fmt.Sprintf(format, args...), line: at.line})
}

// originOf returns where key was set, or the nearest thing around it: a missing bind_dn is told at its directory.
func (l *loader) originOf(key string) origin {
	for ; key != ""; key = parent(key) {
		if at, ok := l.origin[key]; ok {
			return at
		}
		if at, ok := l.origin[key+"_file"]; ok {
			return at
		}
	}
	return origin{}
}

// told reports whether a fault of the key, or of something around or inside it, is known already: what could not be read
// is not blamed a second time for being missing.
func (l *loader) told(key string) bool {
	return slices.ContainsFunc(l.found, func(f *Fault) bool {
		bare := strings.TrimSuffix(f.Key, "_file")
		return f.Key == "" || bare == key || strings.HasPrefix(key, bare+".") || strings.HasPrefix(bare, key+".")
	})
}

// maxFaults is how many are told; a file that is something else altogether would have thousands.
const maxFaults = 100

func (l *loader) faults() error {
	slices.SortStableFunc(l.found, func(a, b *Fault) int { return a.line - b.line })
	var all []error
	for i, f := range l.found {
		if i == maxFaults {
			all = append(all, &Fault{Say: fmt.Sprintf("and %d more", len(l.found)-i)})
			break
		}
		all = append(all, f)
	}
	return errors.Join(all...)
}

func (l *loader) readFile(path string) []byte {
	if info, err := os.Stat(path); err == nil && info.Size() > maxFile {
		l.found = append(l.found, &Fault{Where: path, Say: fmt.Sprintf("%d bytes, at most %d", info.Size(), maxFile)})
		return nil
	}
	b, err := file.Provider(path).ReadBytes()
	if err != nil {
		l.found = append(l.found, &Fault{Where: path, Say: "cannot be read: " + cause(err)})
	}
	return b
}

// readYAML parses the text twice: once as a tree, for the lines, and once by koanf's parser, for the values.
func (l *loader) readYAML(k *koanf.Koanf, path string, b []byte) {
	if len(b) == 0 || !l.placeNodes(path, b) {
		return
	}
	if err := k.Load(content(b), yaml.Parser()); err != nil {
		l.found = append(l.found, &Fault{Where: path, Say: err.Error()})
	}
}

// content gives koanf bytes that were read already.
type content []byte

func (c content) ReadBytes() ([]byte, error)    { return c, nil }
func (c content) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }

// notSettings are names with our prefix that are no configuration: the path of the file itself, and switches of tests.
var notSettings = regexp.MustCompile(`^REGAIN_(CONFIG|REQUIRE_SERVERS|TEST_.*)$`)

// fromKubernetes matches what Kubernetes puts into every container when a service is called regain or regain-something.
// Refusing those would stop the start for a name somebody gave to a service.
var fromKubernetes = regexp.MustCompile(`^REGAIN(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// readEnviron takes REGAIN_A__B as a.b. An empty value counts as not set, because compose files and units often pass a
// variable on whether it has a value or not.
func (l *loader) readEnviron(k *koanf.Koanf, environ []string) {
	provider := env.Provider("", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if value == "" || notSettings.MatchString(name) || fromKubernetes.MatchString(name) && !strings.Contains(name, "__") {
				return "", nil
			}
			return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "__", ".")), value
		},
	})
	read, err := provider.Read()
	if err != nil {
		l.found = append(l.found, &Fault{Where: "environment", Say: err.Error()})
		return
	}
	values := make(map[string]string, len(read))
	for key, v := range read {
		values[key], _ = v.(string)
	}
	l.overlay(k, envPrefix, values)
}

// overlay lays flat keys over what is there, reaching into lists by number.
func (l *loader) overlay(k *koanf.Koanf, prefix string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	flat, after := make(map[string]any, len(values)), len(l.origin)+maxFile
	for i, key := range sorted(values) {
		at := origin{where: prefix + key, line: after + i}
		if prefix == envPrefix {
			at.where = prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
		}
		flat[key], l.origin[key] = values[key], at
	}
	err := k.Load(flatMap(flat), nil, koanf.WithMergeFunc(func(src, dest map[string]any) error {
		for _, key := range sorted(src) {
			if say := set(dest, strings.Split(key, "."), src[key]); say != "" {
				l.fault(key, "%s", say)
			}
		}
		return nil
	}))
	if err != nil {
		l.found = append(l.found, &Fault{Where: prefix, Say: err.Error()})
	}
}

type flatMap map[string]any

func (m flatMap) Read() (map[string]any, error) { return m, nil }
func (m flatMap) ReadBytes() ([]byte, error)    { return nil, errors.ErrUnsupported }

// set puts v at the path, making what is missing. It says what stands in the way, or "".
func set(in map[string]any, path []string, v any) string {
	head, rest := path[0], path[1:]
	if len(rest) == 0 {
		if _, deeper := in[head].(map[string]any); deeper {
			return "is a section: set the keys in it"
		}
		in[head] = v
		return ""
	}
	switch next := in[head].(type) {
	case []any:
		return setInList(in, head, next, rest, v)
	case map[string]any:
		return set(next, rest, v)
	}
	next := map[string]any{}
	if _, err := strconv.Atoi(rest[0]); err == nil {
		return setInList(in, head, nil, rest, v)
	}
	in[head] = next // a text before gives way to the more exact key: help.text.de over help.text
	return set(next, rest, v)
}

func setInList(in map[string]any, head string, list []any, rest []string, v any) string {
	i, err := strconv.Atoi(rest[0])
	if err != nil || i < 0 || i > len(list) || i >= maxList {
		return fmt.Sprintf("is a list of %d: want a number from 0 to %d, have %q", len(list), len(list), rest[0])
	}
	if i == len(list) {
		list = append(list, nil)
	}
	if len(rest) == 1 {
		list[i] = v
	} else {
		entry, ok := list[i].(map[string]any)
		if !ok {
			entry = map[string]any{}
		}
		if say := set(entry, rest[1:], v); say != "" {
			return say
		}
		list[i] = entry
	}
	in[head] = list
	return ""
}
