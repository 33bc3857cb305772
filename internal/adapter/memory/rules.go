package memory

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regain-id/regain/pkg/directory"
)

// violations returns every rule that a new password breaks.
func (d *Directory) violations(r *record, password string, byChange, history bool) []directory.Violation {
	p := d.cfg.Policy
	var broken []directory.Violation
	if n := utf8.RuneCountInString(password); n < max(p.MinLength, 1) {
		broken = append(broken, directory.Violation{Code: directory.TooShort, Limit: max(p.MinLength, 1)})
	} else if p.MaxLength > 0 && n > p.MaxLength {
		broken = append(broken, directory.Violation{Code: directory.TooLong, Limit: p.MaxLength})
	}
	if p.Complexity == directory.ComplexityAD {
		if classes(password) < 3 {
			broken = append(broken, directory.Violation{Code: directory.NotComplex})
		}
		if containsName(password, r.Login, r.Name) {
			broken = append(broken, directory.Violation{Code: directory.ContainsName})
		}
	}
	if history && p.History > 0 {
		if r.Hash.matches(password) {
			broken = append(broken, directory.Violation{Code: directory.SameAsCurrent})
		} else {
			for _, h := range r.History {
				if h.matches(password) {
					broken = append(broken, directory.Violation{Code: directory.InHistory, Limit: p.History})
					break
				}
			}
		}
	}
	if byChange && !r.MustChange && p.MinAge > 0 {
		if until := r.PasswordChanged.Add(p.MinAge); d.cfg.Now().Before(until) {
			broken = append(broken, directory.Violation{Code: directory.TooYoung, Until: until})
		}
	}
	return broken
}

// classes counts the kinds of characters as Active Directory does: upper, lower, digit, other letter, anything else.
func classes(password string) int {
	var seen [5]bool
	for _, c := range password {
		switch {
		case unicode.IsUpper(c):
			seen[0] = true
		case unicode.IsLower(c):
			seen[1] = true
		case unicode.IsDigit(c):
			seen[2] = true
		case unicode.IsLetter(c):
			seen[3] = true
		default:
			seen[4] = true
		}
	}
	n := 0
	for _, s := range seen {
		if s {
			n++
		}
	}
	return n
}

// containsName reports whether the password contains the login, or a word of the display name, of three or more letters.
func containsName(password, login, name string) bool {
	lower := strings.ToLower(password)
	words := strings.FieldsFunc(name, func(c rune) bool { return strings.ContainsRune(",.-_#\t ", c) })
	for _, w := range append(words, login) {
		if utf8.RuneCountInString(w) >= 3 && strings.Contains(lower, strings.ToLower(w)) {
			return true
		}
	}
	return false
}

// status works out the state of an account now.
func (d *Directory) status(r *record) directory.Status {
	now, p := d.cfg.Now(), d.cfg.Policy
	st := directory.Status{
		Disabled: r.Disabled, AdminLocked: r.AdminLocked,
		AccountExpired: !r.AccountExpires.IsZero() && !now.Before(r.AccountExpires),
		MustChange:     r.MustChange, CannotChange: r.CannotChange,
		PasswordNeverExpires: p.MaxAge <= 0,
		PasswordChangedAt:    r.PasswordChanged,
		Marker:               r.marker(), Server: "memory",
	}
	st.Locked, st.LockedUntil = d.locked(r, now)
	if p.MaxAge > 0 && !r.PasswordChanged.IsZero() {
		st.ExpiresAt = r.PasswordChanged.Add(p.MaxAge)
		st.PasswordExpired = !now.Before(st.ExpiresAt)
	}
	return st
}

func (d *Directory) locked(r *record, now time.Time) (bool, time.Time) {
	switch p := d.cfg.Policy; {
	case r.LockedAt.IsZero():
		return false, time.Time{}
	case p.LockoutDuration <= 0:
		return true, time.Time{}
	default:
		until := r.LockedAt.Add(p.LockoutDuration)
		return now.Before(until), until
	}
}

// usable says why an account cannot be signed in to with any password, or nil.
func (d *Directory) usable(r *record) error {
	st := d.status(r)
	switch {
	case st.Disabled:
		return directory.ErrDisabled
	case st.AdminLocked:
		return directory.ErrAdminLocked
	case st.AccountExpired:
		return directory.ErrAccountExpired
	case st.Locked:
		return directory.ErrLocked
	}
	return nil
}

// authenticate tries a password and keeps count.
func (d *Directory) authenticate(op string, r *record, password string) error {
	if kind := d.usable(r); kind != nil {
		return refuse(op, kind)
	}
	now, changed := d.cfg.Now(), r.clone()
	if !r.LockedAt.IsZero() { // a lockout that has run out
		changed.LockedAt, changed.Failures = time.Time{}, 0
	}
	right := r.Hash.matches(password)
	if right {
		changed.Failures = 0
	} else {
		changed.Failures++
		if n := d.cfg.Policy.LockoutThreshold; n > 0 && changed.Failures >= n {
			changed.LockedAt = now
		}
	}
	if changed.Failures != r.Failures || changed.LockedAt != r.LockedAt {
		if err := d.commit(changed); err != nil {
			return &directory.Error{Op: op, Kind: directory.ErrUnavailable, Err: err}
		}
	}
	switch {
	case !right:
		return refuse(op, directory.ErrWrongPassword)
	case r.MustChange:
		return refuse(op, directory.ErrMustChange)
	case d.status(r).PasswordExpired:
		return refuse(op, directory.ErrPasswordExpired)
	}
	return nil
}
