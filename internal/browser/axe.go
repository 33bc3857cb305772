package browser

import (
	_ "embed"
	"fmt"
	"strings"
)

// axe-core 4.14.1, MPL-2.0; its licences lie beside it.
//
//go:embed testdata/axe.min.js
var axeSource string

// Axe judges the page as it stands by WCAG 2.0, 2.1 and 2.2, levels A and AA, and returns one text for each element that
// breaks a rule: the rule, how grave, what is wanted, and the element. None is what a page must have.
func (p *Page) Axe() []string {
	p.t.Helper()
	type node struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	}
	type violation struct {
		ID     string `json:"id"`
		Impact string `json:"impact"`
		Help   string `json:"help"`
		Nodes  []node `json:"nodes"`
	}
	Eval[bool](p, axeSource+";true")
	found := Eval[[]violation](p, `axe.run(document, {
		runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
		resultTypes: ["violations"],
	}).then(r => r.violations.map(v => ({id: v.id, impact: v.impact || "", help: v.help,
		nodes: v.nodes.map(n => ({html: n.html.slice(0, 300), failureSummary: n.failureSummary || ""}))})))`)
	var all []string
	for _, v := range found {
		for _, n := range v.Nodes {
			all = append(all, fmt.Sprintf("%s (%s): %s\n\t%s\n\t%s", v.ID, v.Impact, v.Help, n.HTML,
				strings.ReplaceAll(strings.TrimSpace(n.FailureSummary), "\n", "\n\t")))
		}
	}
	return all
}

// MustAxe fails the test for each violation Axe finds; what names the state of the page.
func (p *Page) MustAxe(what string) {
	p.t.Helper()
	for _, v := range p.Axe() {
		p.t.Errorf("%s: axe: %s", what, v)
	}
}
