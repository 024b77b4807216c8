package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zegl/kube-score/config"
	"github.com/zegl/kube-score/domain"
	"github.com/zegl/kube-score/parser"
	"github.com/zegl/kube-score/score"
	"github.com/zegl/kube-score/score/checks"
	"github.com/zegl/kube-score/scorecard"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const base = "../../kubernetes"

// objects builds the base and returns its objects, each as YAML.
func objects(t *testing.T) (texts []string) {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), base)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range built.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// decode reads an object into the API's own type. A field that the type does not have, or has twice, is an error.
func decode(text string) (string, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return "", err
		}
	}
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	_, kind, err := codecs.UniversalDeserializer().Decode([]byte(text), nil, nil)
	if err != nil {
		return "", err
	}
	return kind.Kind, nil
}

func TestObjectsAreWellFormed(t *testing.T) {
	var kinds []string
	for _, text := range objects(t) {
		kind, err := decode(text)
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	want := []string{"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Job", "Namespace", "NetworkPolicy", "NetworkPolicy",
		"PodDisruptionBudget", "Service", "Service", "ServiceAccount"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("the objects (-want +got):\n%s", diff)
	}
}

func TestMisspeltFieldsAreRefused(t *testing.T) {
	all := strings.Join(objects(t), "---\n")
	for change, want := range map[string]string{
		"automountServiceAccountToken→autoMountServiceAccountToken": "unknown field",
		"readOnlyRootFilesystem: true→readOnlyRootFilesystem: sure": "bool",
		"apiVersion: policy/v1\n→apiVersion: policy/v1beta1\n":      "no kind",
	} {
		from, to, _ := strings.Cut(change, "→")
		said := ""
		for text := range strings.SplitSeq(strings.Replace(all, from, to, 1), "---\n") {
			if _, err := decode(text); err != nil {
				said += err.Error()
			}
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: the decoder says %q, want %s", change, said, want)
		}
	}
}

// findings is what kube-score has to say, without what it found in order.
func findings(t *testing.T, text string) (found []string) {
	t.Helper()
	runConfig := &config.RunConfiguration{
		UseIgnoreChecksAnnotation: true, KubernetesVersion: config.Semver{Major: 1, Minor: 33},
		MinReplicasDeployment: 3, MinReplicasHPA: 3,
		EnabledOptionalTests: map[string]struct{}{"container-seccomp-profile": {}, "container-ports-check": {}},
	}
	p, err := parser.New(&parser.Config{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := p.ParseFiles([]domain.NamedReader{named{bytes.NewBufferString(text)}})
	if err != nil {
		t.Fatal(err)
	}
	card, err := score.Score(parsed, score.RegisterAllChecks(parsed, &checks.Config{}, runConfig), runConfig)
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for name, object := range *card {
		for _, check := range object.Checks {
			judged++
			if check.Skipped || check.Grade > scorecard.GradeWarning {
				continue
			}
			found = append(found, fmt.Sprintf("%s: %s: %s: %v", name, check.Check.ID, check.Grade, check.Comments))
		}
	}
	if judged < 50 {
		t.Errorf("kube-score judged %d points only", judged)
	}
	return found
}

// named gives a text the file name that kube-score asks for.
type named struct{ io.Reader }

func (named) Name() string { return base }

func TestKubeScore(t *testing.T) {
	all := strings.Join(objects(t), "---\n")
	for _, finding := range findings(t, all) {
		t.Error(finding)
	}
	for change, want := range map[string]string{
		"readOnlyRootFilesystem: true→readOnlyRootFilesystem: false": "container-security-context-readonlyrootfilesystem",
		"path: /readyz?for=traffic→path: /livez":                     "pod-probes",
		"image: authserver:0.1.0→image: authserver:latest":           "container-image-tag",
		"minReplicas: 3→minReplicas: 1":                              "horizontalpodautoscaler-replicas",
	} {
		from, to, _ := strings.Cut(change, "→")
		changed := strings.ReplaceAll(all, from, to)
		if said := strings.Join(findings(t, changed), "\n"); changed == all || !strings.Contains(said, want) {
			t.Errorf("%s: kube-score says %q, want %s", change, said, want)
		}
	}
}
