package app

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/adapter/activedirectory"
	"github.com/regain-id/regain/internal/adapter/child"
	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/notify"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/web"
	"github.com/regain-id/regain/pkg/directory"
)

// NewLog returns the log a configuration asks for, written to w.
func NewLog(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == config.LogText {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// Configured returns the setup a configuration describes. It connects to nothing.
func Configured(c config.Config, log *slog.Logger) (Setup, error) {
	ring, err := keyring.Open(c.KeyFile)
	if err != nil {
		return Setup{}, fmt.Errorf("key_file: %w", err)
	}
	s := Setup{
		Base: strings.TrimSuffix(c.BaseURL, "/"), Database: c.Database.Reveal(), Ring: ring, Language: c.Languages.Default, Proxies: c.TrustedProxies, ReceiverNets: c.Receivers.Allow, ConnectorNets: c.Connectors.Allow,
		Organisation: web.Organisation{Name: c.Organisation.Name, Logo: c.Organisation.LogoFile, SignIn: c.Organisation.SignInURL,
			Colour: &web.Colour{Hue: c.Organisation.Hue, Chroma: c.Organisation.Chroma, Radius: web.DefaultColour.Radius}},
		Words:    c.Organisation.Words,
		Help:     web.Help{Text: web.Localised(c.Help.Text), Phone: c.Help.Phone.In(c.Languages.Default), Hours: web.Localised(c.Help.Hours), URL: web.Localised(c.Help.URL)},
		Links:    web.Links{Privacy: web.Localised(c.Links.Privacy), Accessibility: web.Localised(c.Links.Accessibility)},
		Security: c.SecurityContact, Region: c.SMS.DefaultRegion, Log: log,
		Rates: reset.Rates{StartsPerOrigin: c.Limits.StartsPerOrigin, ChecksPerOrigin: c.Limits.FailuresPerOrigin, SendsPerOrigin: c.Limits.SendsPerOrigin, SendsPerPerson: c.Limits.SendsPerPerson},
	}
	s.Corporate, s.MailOn = c.Organisation.Domains()
	if s.Directories, err = directories(c, log); err != nil {
		return Setup{}, err
	}
	if s.IDPs, err = idps(c); err != nil {
		return Setup{}, err
	}
	if err := s.senders(c); err != nil {
		return Setup{}, err
	}
	if c.Password.BreachedFile != "" {
		if s.Lists.Breached, err = password.OpenBreached(c.Password.BreachedFile); err != nil {
			return Setup{}, fmt.Errorf("password.breached_file: %w", err)
		}
	}
	if c.Password.BlocklistFile != "" {
		f, err := os.Open(c.Password.BlocklistFile)
		if err != nil {
			return Setup{}, fmt.Errorf("password.blocklist_file: %w", err)
		}
		s.Lists.Refused, err = password.ReadBlocklist(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return Setup{}, fmt.Errorf("password.blocklist_file: %w", err)
		}
	}
	return s, nil
}

func directories(c config.Config, log *slog.Logger) ([]reset.Directory, error) {
	var out []reset.Directory
	for _, d := range c.Directories {
		var a directory.Adapter
		var err error
		switch d.Kind {
		case config.DirectoryMemory:
			a, err = memory.New(memory.Config{Name: d.Name})
		case config.DirectoryActiveDirectory:
			a, err = activedirectory.New(activedirectory.Config{
				Name: d.Name, URLs: d.URLs, Domain: d.Domain, Sites: d.Sites, PDC: d.PreferPDC, CAFile: d.CAFile, ServerName: d.ServerName,
				BindName: d.BindDN, BindPassword: directory.NewSecret(d.BindPassword.Reveal()), BaseDN: d.BaseDN, UserFilter: d.UserFilter,
				LoginAttrs: d.LoginAttributes, DialTimeout: d.Timeouts.Connect.Std(), Timeout: d.Timeouts.Request.Std(),
			})
		case config.DirectoryPlugin, config.DirectoryExec:
			a, err = child.New(child.Config{Name: d.Name, Command: d.Command, Dir: d.Dir, Files: d.Files, Env: d.Env, Venv: d.Venv, User: d.RunAs, Settings: d.Settings,
				OneShot: d.Kind == config.DirectoryExec, Log: log})
		default:
			urls := d.URLs
			a, err = ldap.New(ldap.Config{
				Name: d.Name, URLs: urls, CAFile: d.CAFile, ServerName: d.ServerName, BindDN: d.BindDN, BindPassword: directory.NewSecret(d.BindPassword.Reveal()),
				BaseDN: d.BaseDN, UserFilter: d.UserFilter, LoginAttrs: d.LoginAttributes, DefaultPolicyDN: d.DefaultPolicyDN,
				DialTimeout: d.Timeouts.Connect.Std(), Timeout: d.Timeouts.Request.Std(),
			})
		}
		if err != nil {
			return nil, fmt.Errorf("directory %s: %w", d.Name, err)
		}
		out = append(out, reset.Directory{Name: d.Name, Label: c.Organisation.Name, Adapter: a, Claim: c.Link.Directory.Person, Attribute: c.Link.Directory.Attribute,
			Timeout: d.Timeouts.Request.Std(), After: d.OldPasswordWorks.Std()})
	}
	return out, nil
}

func (s *Setup) senders(c config.Config) error {
	if c.Mail.Host != "" {
		from, err := mail.ParseAddress(c.Mail.From)
		if err != nil {
			return fmt.Errorf("mail.from: %w", err)
		}
		s.From = from.Address
		pool, err := authorities(c.Mail.CAFile)
		if err != nil {
			return fmt.Errorf("mail.ca_file: %w", err)
		}
		smtp, err := notify.NewSMTP(notify.SMTPConfig{Host: c.Mail.Host, Port: c.Mail.MailPort(), TLS: string(c.Mail.TLS), Username: c.Mail.User, Password: c.Mail.Password.Reveal(), CA: pool})
		if err != nil {
			return fmt.Errorf("mail: %w", err)
		}
		s.Mail = smtp
	}
	if c.SMS.Webhook.URL != "" {
		var allow []netip.Prefix
		if c.SMS.Webhook.AllowPrivate {
			allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		}
		secret := c.SMS.Webhook.Secret.Reveal()
		if !strings.HasPrefix(secret, "whsec_") {
			secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
		}
		hook, err := notify.NewWebhook(notify.WebhookConfig{URL: c.SMS.Webhook.URL, Secrets: []string{secret}, Client: egress.New(egress.Options{Allow: allow})})
		if err != nil {
			return fmt.Errorf("sms.webhook: %w", err)
		}
		s.Text = hook
		s.textLimits = textLimits{countries: c.SMS.Regions(), perRange: c.Limits.SMSPerPrefix, perDay: c.SMS.DailyBudget}
	}
	return nil
}

// textLimits become the guard of text messages once there is a store to count in.
type textLimits struct {
	countries        []string
	perRange, perDay int
}

func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in it")
	}
	return pool, nil
}

// Run serves a configuration until ctx ends. ready, when not nil, receives the bound address.
func Run(ctx context.Context, c config.Config, log *slog.Logger, migrate bool, ready chan<- net.Addr) (err error) {
	if log == nil {
		log = NewLog(c.Log, os.Stderr)
	}
	setup, err := Configured(c, log)
	if err != nil {
		return err
	}
	have, _, err := store.Versions(ctx, store.Config{URL: setup.Database})
	if err != nil {
		return err
	}
	setup.Migrate = migrate || have == 0 // an empty database has nothing to lose
	srv, err := New(ctx, setup)
	if errors.Is(err, store.ErrOlder) {
		err = fmt.Errorf("%w: run regain migrate, or serve --migrate", err)
	}
	if err != nil {
		return err
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 45*time.Second)
		defer cancel()
		err = errors.Join(err, srv.Close(cctx))
	}()
	if err := RefuseDemo(ctx, srv.Store.Store); err != nil {
		return err
	}
	if c.PolicyFile != "" {
		if err := srv.applyPolicyFile(ctx, c.PolicyFile); err != nil {
			return err
		}
	}
	l, err := listen(c.Listen, c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer l.Close()
	if c.Telemetry.Listen != "off" {
		stop, err := telemetry(c.Telemetry.Listen, srv)
		if err != nil {
			return fmt.Errorf("telemetry.listen: %w", err)
		}
		defer stop()
	}
	started := event.New(srv.setup.Now(), event.ServeStarted, "system", "", newID(), event.Success).With("version", Version()).With("engine", string(srv.Store.Kind()))
	if err := srv.Store.Record(ctx, started); err != nil {
		return err
	}
	log.InfoContext(ctx, "serving", "address", l.Addr().String(), "base_url", setup.Base, "engine", string(srv.Store.Kind()))
	if ready != nil {
		ready <- l.Addr()
	}
	return srv.Serve(ctx, l)
}

// applyPolicyFile applies a policy once for each new content; an unchanged file changes nothing, so that what was
// applied by hand since then stays.
func (srv *Server) applyPolicyFile(ctx context.Context, path string) error {
	text, err := readBounded(path, policy.MaxText)
	if err != nil {
		return fmt.Errorf("policy_file: %w", err)
	}
	p, err := policy.Parse(text)
	if err != nil {
		return fmt.Errorf("policy_file %s: %w", path, err)
	}
	const key = "policy_file.hash"
	last, _, err := srv.Store.Setting(ctx, key)
	if err != nil || last == p.Hash {
		return err
	}
	version, err := srv.Store.ApplyPolicy(ctx, p, "config:"+path, srv.setup.Now())
	if err != nil {
		return err
	}
	srv.setup.Log.InfoContext(ctx, "policy applied", "version", version, "file", path)
	return srv.Store.SetSetting(ctx, key, p.Hash)
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return b, err
}
