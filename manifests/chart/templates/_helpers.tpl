{{/* The name of every object: release-scoped, so that two installations never fight over a cluster-scoped one. */}}
{{- define "podbadge.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 59 | trimSuffix "-" -}}
{{- else if contains "podbadge" .Release.Name -}}
{{- printf "%s-webhook" (.Release.Name | trunc 50 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-podbadge-webhook" (.Release.Name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "podbadge.selectorLabels" -}}
app.kubernetes.io/name: podbadge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "podbadge.labels" -}}
{{ include "podbadge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An image reference of (dict "root" $ "image" <values>): the digest wins over the tag. */}}
{{- define "podbadge.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default (printf "v%s" .root.Chart.AppVersion) .image.release) -}}
{{- end -}}
{{- end -}}

{{- define "podbadge.tlsSecret" -}}
{{- default (printf "%s-tls" (include "podbadge.name" .)) .Values.tls.secretName -}}
{{- end -}}

{{- define "podbadge.adminPort" -}}
{{- regexFind "[0-9]+$" .Values.metricsAddr -}}
{{- end -}}

{{/*
The namespaces of an entry: the operator's selector, and beside it, for (dict "root" $ "excluded" <names>), the excluded ones.
*/}}
{{- define "podbadge.namespaceSelector" -}}
{{- $selector := deepCopy .root.Values.mutatingWebhookNamespaceSelector -}}
{{- if .excluded -}}
{{- $exclusion := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" .excluded -}}
{{- $_ := set $selector "matchExpressions" (append (default list $selector.matchExpressions) $exclusion) -}}
{{- end -}}
{{- toYaml $selector -}}
{{- end -}}

{{/* The variables of the custom token endpoint, by upstream's names. */}}
{{- define "podbadge.tokenEndpoint" -}}
{{- $names := dict
  "azureKubernetesTokenProxy" "AZURE_KUBERNETES_TOKEN_PROXY"
  "azureKubernetesSniName" "AZURE_KUBERNETES_SNI_NAME"
  "azureKubernetesCaData" "AZURE_KUBERNETES_CA_DATA"
  "azureKubernetesCAConfigMapName" "AZURE_KUBERNETES_CA_CONFIGMAP_NAME"
  "azureKubernetesCACTBSignerName" "AZURE_KUBERNETES_CA_CTB_SIGNER_NAME"
  "azureKubernetesCACTBLabelSelector" "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR" -}}
{{- range $value, $name := $names -}}
{{- with index $.Values.customTokenEndpoint $value }}
- name: {{ $name }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a pod must meet to be ours. */}}
{{- define "podbadge.matchConditions" -}}
# The kubelet made it from a file; its copy in the API cannot be changed.
- name: not-a-mirror-pod
  expression: "!('kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({}))"
# Otherwise the first replica would wait for itself.
- name: not-our-own-pod
  expression: >-
    request.namespace != '{{ .Release.Namespace }}' || object.spec.?serviceAccountName.orValue('') != '{{ include "podbadge.name" . }}'
{{- with .Values.mutatingWebhookMatchConditions }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The value `heal`; an unquoted `off` in a values file is read as false. */}}
{{- define "podbadge.heal" -}}
{{- ternary "off" .Values.heal (eq (toString .Values.heal) "false") -}}
{{- end -}}

{{/* How the API server calls the webhook, for (dict "root" $ "path" <path>). */}}
{{- define "podbadge.clientConfig" -}}
service:
  name: {{ include "podbadge.name" .root }}
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: {{ .root.Values.service.port }}
{{- if eq .root.Values.tls.mode "files" }}
{{- with .root.Values.tls.caBundle }}
caBundle: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
