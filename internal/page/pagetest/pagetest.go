// Package pagetest has a real Chromium look at pages, for tests.
package pagetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"authserver/internal/leaveout"

	"github.com/chromedp/chromedp"
)

// runAxe asks for every rule, also for the size of targets, which axe-core leaves out by itself.
const runAxe = `axe.run(document, {rules: {'target-size': {enabled: true}}, preload: false}).then(found =>
	found.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html + ' ' + n.failureSummary)))`

// NewBrowser starts a Chromium with an empty profile, and with further flags.
func NewBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		leaveout.Test(t, "there is no chromium in the PATH (Debian: apt-get install chromium)")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(2 * time.Minute),
	}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	t.Cleanup(stop)
	browser, quit := chromedp.NewContext(allocator)
	t.Cleanup(quit)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("%s does not start: %v", program, err)
	}
	return browser
}

// NewTab is a tab of its own.
func NewTab(t *testing.T, browser context.Context) context.Context {
	t.Helper()
	tab, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	if err := chromedp.Do(tab); err != nil { // a tab lives as long as the context of its first action
		t.Fatal(err)
	}
	return tab
}

// Do plays actions, within two minutes.
func Do(t *testing.T, tab context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	within, cancel := context.WithTimeout(tab, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(within, actions...); err != nil {
		where, _ := chromedp.Run(tab, chromedp.Location())
		text, _ := chromedp.Run(tab, chromedp.Evaluate[string](`document.body.innerText`))
		t.Fatalf("%v, at %s:\n%s", err, where, text)
	}
}

// Evaluate is the value of a script in the page. DevTools' scripts are not bound by the page's policy.
func Evaluate[T any](t *testing.T, tab context.Context, script string, options ...chromedp.EvaluateOption) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](script, options...))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Faults are those that axe-core finds with the page, by the rules of WCAG.
func Faults(t *testing.T, tab context.Context) []string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	axe, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../../deploy/clients/node_modules/axe-core/axe.min.js"))
	if err != nil {
		leaveout.Test(t, "axe-core is not installed: cd deploy/clients && npm ci --ignore-scripts")
	}
	if !Evaluate[bool](t, tab, `"axe" in window`) {
		Evaluate[chromedp.Void](t, tab, string(axe))
	}
	return Evaluate[[]string](t, tab, runAxe, chromedp.EvalAwaitPromise)
}

// Photograph keeps a picture of the whole page.
func Photograph(t *testing.T, tab context.Context, path string) {
	t.Helper()
	picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".png", picture, 0o600); err != nil {
		t.Fatal(err)
	}
}
