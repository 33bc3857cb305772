// Progressive enhancement only: every page but those of passkeys works without this file. It sends nothing by itself and
// writes no HTML.
const root = document.documentElement;
root.classList.add('js');

// The summary of what is wrong is the first thing to read after a form came back.
document.getElementById('problems')?.focus();

// Show or hide a password; it is always hidden again when it is sent, so that the browser does not remember it as text.
for (const button of document.querySelectorAll('[data-reveal]')) {
  const input = document.getElementById(button.dataset.reveal);
  const set = (show) => {
    input.type = show ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(show));
    button.querySelector('span').textContent = show ? button.dataset.hide : button.dataset.show;
  };
  button.addEventListener('click', () => set(input.type === 'password'));
  input.form.addEventListener('submit', () => set(false));
}

// A double click sends a form once. A browser shows the answer to what it sent last, and some things are answered only once.
const sent = new WeakMap();
document.addEventListener('submit', (event) => {
  if (event.defaultPrevented) return;
  if (event.timeStamp - sent.get(event.target) < 2000) event.preventDefault();
  else sent.set(event.target, event.timeStamp);
});

// Light, dark, or as the system does.
const themes = document.querySelectorAll('[data-theme-set]');
for (const button of themes) {
  button.addEventListener('click', () => {
    const theme = button.dataset.themeSet;
    const secure = location.protocol === 'https:' ? ';secure' : '';
    document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax${secure}`;
    if (theme === 'auto') root.removeAttribute('data-theme');
    else root.dataset.theme = theme;
    for (const other of themes) other.setAttribute('aria-pressed', String(other === button));
  });
}

// Length while typing. The rules come from the page and the server decides; the password leaves the browser once.
const password = document.querySelector('[data-min-length]');
if (password) {
  const least = Number(password.dataset.minLength);
  const meter = document.getElementById('meter');
  const said = document.getElementById('meter-text');
  const rule = document.getElementById('rule-length');
  const judge = () => {
    const length = [...password.value.normalize('NFC')].length;
    meter.value = Math.min(4, Math.floor((4 * length) / least));
    said.textContent = length < least ? password.dataset.short.replace('{n}', least - length) : password.dataset.long;
    rule?.classList.toggle('met', length >= least);
  };
  password.addEventListener('input', judge);

  // A suggested passphrase can be copied or put into the field.
  const suggestion = document.getElementById('suggestion');
  const done = document.getElementById('suggestion-done');
  document.getElementById('suggestion-copy')?.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(suggestion.textContent);
      done.textContent = done.dataset.copied;
    } catch {
      getSelection().selectAllChildren(suggestion);
    }
  });
  document.getElementById('suggestion-use')?.addEventListener('click', () => {
    password.value = suggestion.textContent;
    done.textContent = done.dataset.used;
    judge();
    password.focus();
  });
}

// What a page shows once can be copied: each line of a list, or a key.
for (const button of document.querySelectorAll('[data-copy]')) {
  const source = document.getElementById(button.dataset.copy);
  const said = button.querySelector('span');
  button.addEventListener('click', async () => {
    const lines = source.children.length ? [...source.children].map((line) => line.textContent) : [source.textContent];
    try {
      await navigator.clipboard.writeText(lines.join('\n'));
      said.setAttribute('role', 'status');
      said.textContent = button.dataset.copied;
    } catch {
      getSelection().selectAllChildren(source);
    }
  });
}
document.querySelector('[data-print]')?.addEventListener('click', () => print());

// Making or using a passkey: the browser is asked with the options of the page, and its answer is sent as the form's.
const passkey = document.querySelector('form[data-passkey]');
if (passkey) {
  const making = passkey.dataset.passkey === 'create';
  const said = document.getElementById('passkey-said');
  const parse = making ? 'parseCreationOptionsFromJSON' : 'parseRequestOptionsFromJSON';
  if (!window.PublicKeyCredential?.[parse]) {
    passkey.hidden = true;
    document.getElementById('passkey-unknown').hidden = false;
  }
  passkey.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = passkey.querySelector('button');
    button.disabled = true;
    said.hidden = true;
    try {
      const publicKey = PublicKeyCredential[parse](JSON.parse(passkey.dataset.options));
      const credential = await (making ? navigator.credentials.create({publicKey}) : navigator.credentials.get({publicKey}));
      passkey.elements.answer.value = JSON.stringify(credential.toJSON());
      passkey.submit();
    } catch (problem) {
      // What the browser says is for developers; whether somebody gave up or nothing fitted is not told, on purpose.
      said.textContent = making && problem.name === 'InvalidStateError' ? said.dataset.known : said.dataset.refused;
      said.hidden = false;
      button.disabled = false;
    }
  });
}

// A code that arrives as a text message on this device and names this site fills itself in.
const code = document.querySelector('input[data-from-sms]');
if (code && 'OTPCredential' in window) {
  const stop = new AbortController();
  code.form.addEventListener('submit', () => stop.abort());
  navigator.credentials.get({otp: {transport: ['sms']}, signal: stop.signal}).then((otp) => {
    code.value = otp.code;
    code.form.requestSubmit();
  }).catch(() => {});
}

// The time left, counted down, with a hint in time to ask for more.
const left = document.querySelector('[data-seconds-left]');
if (left) {
  const end = Date.now() + Number(left.dataset.secondsLeft) * 1000;
  const hint = document.getElementById('time-low');
  const write = (n, unit) => new Intl.NumberFormat(root.lang, {style: 'unit', unit, unitDisplay: 'long'}).format(n);
  const tick = () => {
    const seconds = Math.max(0, Math.round((end - Date.now()) / 1000));
    left.textContent = seconds >= 60 ? write(Math.ceil(seconds / 60), 'minute') : write(seconds, 'second');
    if (hint && seconds <= 120 && !hint.textContent) hint.textContent = hint.dataset.text;
    if (seconds === 0) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  tick();
}
