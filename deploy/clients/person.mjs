// A person at a browser without JavaScript: cookies, redirects, and the forms of the pages by their fixed names.

import { issuer } from './recipient.mjs';

const alex = { username: 'alex', password: 'alex-demo' };

// newBrowser is one that nobody has signed in at.
export const newBrowser = () => ({ cookies: new Map() });

// answer opens a URL, signs in where that is asked for, shares every account and presses approve or deny. It returns where
// the browser is sent then, as a URL, or as the Request of a form that is posted there.
export async function answer(start, decision, browser = newBrowser()) {
  let page = await follow(browser, start);
  for (let step = 0; !page.location; step++) {
    if (step > 5 || page.status !== 200) throw new Error(`no way on from ${page.url}: ${page.status}\n${page.body}`);
    const form = read(page, (action) => !action.endsWith('/sign-out'));
    if (new URL(form.action, page.url).origin !== new URL(issuer).origin) {
      return new Request(form.action, { method: 'POST', body: form.fields });
    }
    if (form.names.has('password')) {
      form.fields.set('username', alex.username);
      form.fields.set('password', alex.password);
    } else if (form.boxes.length > 0) {
      for (const id of form.boxes) form.fields.append('accounts', id);
    } else {
      form.fields.set('decision', decision);
    }
    page = await follow(browser, new URL(form.action, page.url), form.fields);
  }
  return page.location;
}

// signOut opens a URL, presses the button that signs out, and returns where the browser is sent then.
export async function signOut(start, browser) {
  const page = await follow(browser, start);
  const form = read(page, (action) => action.endsWith('/sign-out'));
  const { location } = await follow(browser, new URL(form.action, page.url), form.fields);
  return location;
}

// follow goes where the server sends the browser, as long as that is the server itself.
async function follow(browser, url, form) {
  for (let redirects = 0; redirects < 10; redirects++) {
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form,
      redirect: 'manual',
      headers: { Cookie: [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; '), 'Sec-Fetch-Site': form ? 'same-origin' : 'cross-site' },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      browser.cookies.set(name, value);
    }
    if (response.status !== 303) return { url, status: response.status, body: await response.text() };
    const location = new URL(response.headers.get('Location'), url);
    if (location.origin !== new URL(issuer).origin) return { location };
    [url, form] = [location, undefined];
  }
  throw new Error('too many redirects, the last to ' + url);
}

// read takes the form apart whose button the person is to press: the first whose action is a wanted one.
function read({ url, status, body }, wanted) {
  const forms = [...body.matchAll(/<form[^>]*action="([^"]*)"[^>]*>([^]*?)<\/form>/g)];
  const found = forms.find(([, action]) => wanted(action));
  if (!found) throw new Error(`nothing to press at ${url}: ${status}\n${body}`);
  const [, action, inside] = found;
  const form = { action, fields: new URLSearchParams(), names: new Set(), boxes: [] };
  for (const [input] of inside.matchAll(/<input[^>]*>/g)) {
    const attribute = (name) => new RegExp(`\\s${name}="([^"]*)"`).exec(input)?.[1] ?? '';
    form.names.add(attribute('name'));
    if (attribute('type') === 'hidden') form.fields.set(attribute('name'), attribute('value'));
    if (attribute('type') === 'checkbox') form.boxes.push(attribute('value'));
  }
  return form;
}
