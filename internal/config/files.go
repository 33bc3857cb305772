package config

import (
	"errors"
	"os"
	"strconv"
)

// CheckFiles reports every file the configuration names that cannot be read, each a *Fault with its key. The key file
// and the database are judged by those who open them.
func (c Config) CheckFiles() error {
	k := &checker{}
	look := func(key, path string) {
		if path == "" {
			return
		}
		f, err := os.Open(path)
		if err != nil {
			k.fault(key, "%s cannot be read: %s", path, cause(err))
			return
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			k.fault(key, "%s is a folder", path)
		} else if err == nil && key == "organisation.logo_file" && info.Size() > 256<<10 {
			k.fault(key, "%s has %s, at most 256KiB", path, Size(info.Size()))
		}
	}
	look("tls.cert_file", c.TLS.CertFile)
	look("tls.key_file", c.TLS.KeyFile)
	look("organisation.logo_file", c.Organisation.LogoFile)
	for i, d := range c.Directories {
		look("directories."+strconv.Itoa(i)+".ca_file", d.CAFile)
	}
	for i, d := range c.IDPs {
		look("idps."+strconv.Itoa(i)+".ca_file", d.CAFile)
		look("idps."+strconv.Itoa(i)+".key_file", d.KeyFile)
	}
	look("mail.ca_file", c.Mail.CAFile)
	look("password.breached_file", c.Password.BreachedFile)
	look("password.blocklist_file", c.Password.BlocklistFile)
	look("policy_file", c.PolicyFile)
	return errors.Join(k.found...)
}

// Hints tells what is allowed but seldom meant, one sentence each for `regain check`.
func (c Config) Hints() []string {
	var hints []string
	hint := func(when bool, say string) {
		if when {
			hints = append(hints, say)
		}
	}
	_, emailOn := c.Organisation.Domains()
	hint(!emailOn, "organisation.corporate_domains is not set: nobody can prove themselves by mail")
	hint(c.Mail.Host == "", "mail.host is not set: no codes and no notices leave by mail")
	hint(c.SMS.Webhook.URL == "", "sms.webhook.url is not set: nobody can prove themselves by text message")
	hint(c.SecurityContact == "", "security_contact is not set: a dispute is told to the owner and stands in the events, and nobody else is told")
	hint(len(c.Help.Phone) == 0 && len(c.Help.URL) == 0 && len(c.Help.Text) == 0, "help is not set: people who are stuck are told of nobody to ask")
	hint(c.Password.BreachedFile == "", "password.breached_file is not set: only the commonest passwords are refused")
	for _, d := range c.Directories {
		hint(d.Kind == DirectoryMemory, "directory "+d.Name+" is kept in memory: its passwords are gone at the next start")
	}
	hint(len(c.IDPs) == 0, "idps is not set: nobody can sign in, register ways or be staff")
	for _, p := range c.IDPs {
		hints = append(hints, p.hints()...)
	}
	hint(len(c.IDPs) > 0 && c.Link.SignIn.Claim == "email", "link.signin.claim is email: people whose address is not confirmed at the provider cannot sign in, and whoever can change theirs there is somebody else here")
	return hints
}
