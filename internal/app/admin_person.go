package app

import (
	"time"

	"github.com/regain-id/regain/internal/method"
)

// Standing says in words what a way stands on, and what will change about it by itself. sources are the names of the
// connectors by id.
func Standing(m method.Method, sources map[string]string, now time.Time) string {
	root := m.Stands(now)
	at := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
	text := "by " + string(root.Kind)
	if name := sources[root.ID]; root.Kind == method.ByConnector && name != "" {
		text += " " + name
	}
	if m.Status == method.Removed {
		return text + "  removed " + at(m.RemovedAt)
	}
	if root.Kind == method.BySession && !m.Matures.IsZero() {
		text += "  maturing until " + at(m.Matures)
	}
	if until := m.Rests(now); !until.IsZero() {
		text += "  rests until " + at(until)
	}
	if !m.Leaves.IsZero() {
		text += "  leaving " + at(m.Leaves)
	}
	return text
}
