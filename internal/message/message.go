// Package message is the catalogue of every sentence a person reads, in every language regain speaks.
//
// Code names a key and its arguments; the edge that shows it renders it in the person's language. Texts stand in
// texts/AREA.LANG.yaml, are embedded, and a test fails on a key that is missing in a complete language.
package message

// Message is a key of the catalogue and the arguments its text names. The zero value renders as nothing.
// Arguments are data: they are never parsed as templates.
type Message struct {
	Key  string
	Args map[string]any
}

// Key returns a message without arguments, or with arguments given as alternating names and values:
// message.Key("code.sent", "Minutes", 10). It panics on an odd count or a name that is no string: a bug in our code.
func Key(key string, pairs ...any) Message {
	m := Message{Key: key}
	if len(pairs)%2 != 0 {
		panic("message: odd arguments for " + key)
	}
	if len(pairs) > 0 {
		m.Args = make(map[string]any, len(pairs)/2)
	}
	for i := 0; i < len(pairs); i += 2 {
		m.Args[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// IsZero reports whether there is nothing to say.
func (m Message) IsZero() bool { return m.Key == "" }
