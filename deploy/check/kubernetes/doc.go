// Package kubernetes builds deploy/kubernetes as `kubectl apply -k` would, decodes every object strictly into the types of
// the Kubernetes API, and lets kube-score judge them: nothing critical and no warning may be left. Its tests are the
// checks; each check also sees what it has to refuse. .ci/deploy runs them.
//
// It is a module of its own, because what kube-score needs and what BuildKit needs do not fit into one.
package kubernetes
