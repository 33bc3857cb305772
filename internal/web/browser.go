package web

import "strings"

// Browser names the family of a browser, for the words "where from"; never more of what was sent than that.
func Browser(agent string) string {
	if len(agent) > 512 {
		agent = agent[:512]
	}
	family := ""
	for _, f := range []struct{ mark, name string }{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	} {
		if strings.Contains(agent, f.mark) {
			family = f.name
			break
		}
	}
	for _, s := range []struct{ mark, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, s.mark) {
			if family == "" {
				return s.name
			}
			return family + ", " + s.name
		}
	}
	return family
}
