{{/* The name of every object: release-scoped, so that two installations never fight over a cluster-scoped one. */}}
{{- define "podbadge.name" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $chart .Release.Name -}}
{{- printf "%s-webhook" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-webhook" (printf "%s-%s" .Release.Name $chart | trunc 44 | trimSuffix "-") -}}
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

{{/* Whether `image` names the image of Azure Workload Identity, as values files written for its chart do. */}}
{{- define "podbadge.foreignImage" -}}
{{- if regexMatch "(^|/)workload-identity/(webhook|proxy)$" .Values.image.repository }}yes{{ end -}}
{{- end -}}

{{/*
An image reference of (dict "root" $ "image" <values>): the digest wins over the tag. A repository without a registry would be
looked for at Docker Hub, under a name that anybody may take there; the first part of a name is a registry where it has a dot
or a colon, or is localhost.
*/}}
{{- define "podbadge.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if not (regexMatch "^(localhost|[^/]*[.:][^/]*)/" $repository) -}}
{{- fail "image.registry: say where the images are, for example registry.example.com/team; docs/release.md says how they get there" -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default (printf "v%s" .root.Chart.AppVersion) .image.release) -}}
{{- end -}}
{{- end -}}

{{/* The webhook's own image. Another program's, from a values file of Azure Workload Identity, would not start. */}}
{{- define "podbadge.webhookImage" -}}
{{- $image := .Values.image -}}
{{- if include "podbadge.foreignImage" . -}}
{{- $image = dict "repository" "podbadge/webhook" -}}
{{- end -}}
{{- include "podbadge.image" (dict "root" . "image" $image) -}}
{{- end -}}

{{/*
The webhook's requests and limits. What Azure Workload Identity's chart sets where nobody has chosen anything fits another
program: 30 MiB would end this one under load, and 100m would throttle every creation of a pod.
*/}}
{{- define "podbadge.foreignResources" -}}
{{- if eq (toJson .Values.resources) `{"limits":{"cpu":"100m","memory":"30Mi"},"requests":{"cpu":"100m","memory":"20Mi"}}` }}yes{{ end -}}
{{- end -}}
{{- define "podbadge.resources" -}}
{{- if include "podbadge.foreignResources" . -}}
{{- dict "requests" (dict "cpu" "100m" "memory" "64Mi") "limits" (dict "memory" "256Mi") | toYaml -}}
{{- else -}}
{{- toYaml (default dict .Values.resources) -}}
{{- end -}}
{{- end -}}

{{/* The names of the Azure clouds, as Azure's tools take them: in any letter case. */}}
{{- define "podbadge.audience" -}}
{{- $audiences := dict
  "azurepubliccloud" "api://AzureADTokenExchange"
  "azurecloud" "api://AzureADTokenExchange"
  "azureusgovernmentcloud" "api://AzureADTokenExchangeUSGov"
  "azureusgovernment" "api://AzureADTokenExchangeUSGov"
  "azurechinacloud" "api://AzureADTokenExchangeChina" -}}
{{- default (get $audiences (lower (default "AzurePublicCloud" .Values.azureEnvironment))) .Values.audience -}}
{{- end -}}

{{/* `logLevel` by our names: Azure Workload Identity's chart also takes none, and `all`. */}}
{{- define "podbadge.logLevel" -}}
{{- $level := default "info" .Values.logLevel -}}
{{- ternary "trace" $level (eq $level "all") -}}
{{- end -}}

{{/* The operator's variables for all sidecars. */}}
{{- define "podbadge.sidecarVariables" -}}
{{- $variables := deepCopy (default dict .Values.sidecar.variables) -}}
{{- with .Values.sidecar.caData }}{{ $_ := set $variables "PODBADGE_CA_DATA" . }}{{ end -}}
{{- if $variables }}{{ toJson $variables }}{{ end -}}
{{- end -}}

{{/* Each maker has a Secret of its own: while the mode is changed, neither finds the other's content in it. */}}
{{- define "podbadge.tlsSecret" -}}
{{- $maker := ternary "-cert-manager" "" (eq .Values.tls.mode "cert-manager") -}}
{{- default (printf "%s%s-tls" (include "podbadge.name" .) $maker) .Values.tls.secretName -}}
{{- end -}}

{{/* A duration such as 2160h or 1h30m, in seconds. */}}
{{- define "podbadge.seconds" -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[hms]" . -1 -}}
{{- $seconds = add $seconds (mul (regexFind "^[0-9]+" .) (get (dict "h" 3600 "m" 60 "s" 1) (regexFind "[hms]$" .))) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/*
The alerts for this release: what the webhook does in another mode only is not missed, and what is late depends on when a
certificate is due. With thirty days left at its renewal, as by default, all is as in monitoring/rules.yaml. An alert's `for`
shrinks where less than a day is left then: what ends within the hour cannot be waited for that long.
*/}}
{{- define "podbadge.rules" -}}
{{- $modes := dict "PodbadgeNobodyIssues" (list "self-managed") "PodbadgeCertificateLate" (list "self-managed" "cert-manager") -}}
{{- $mode := .Values.tls.mode -}}
{{- $left := 2592000 -}}
{{- if eq $mode "cert-manager" -}}
{{- $left = include "podbadge.seconds" .Values.tls.certManager.renewBefore | int -}}
{{- else if eq $mode "self-managed" -}}
{{- $left = div (include "podbadge.seconds" .Values.tls.selfManaged.duration | int) 3 -}}
{{- else -}}
{{- $left = include "podbadge.seconds" .Values.tls.files.renewBefore | int -}}
{{- end -}}
{{- $rules := .Files.Get "monitoring/rules.yaml" | fromYaml -}}
{{- range $group := $rules.groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- if ne $left 2592000 -}}
{{- $late := $rule.expr | replace "20 * 86400" (div (mul $left 2) 3 | toString) | replace "3 * 86400" (min 259200 (div $left 3) | toString) -}}
{{- if and (ne $late $rule.expr) (lt $left 86400) -}}
{{- $_ := set $rule "for" (printf "%ds" (div $left 24)) -}}
{{- end -}}
{{- $_ := set $rule "expr" $late -}}
{{- end -}}
{{- if has $mode (default (list $mode) (get $modes $rule.alert)) }}{{ $kept = append $kept $rule }}{{ end -}}
{{- end -}}
{{- $_ := set $group "rules" $kept -}}
{{- end -}}
{{- toYaml $rules -}}
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
{{- with .root.Values.tls.caBundle }}
caBundle: {{ . }}
{{- end }}
{{- end -}}

{{/*
Argo CD's order, which knows no hooks of ours: it applies waves upwards, each when the one before is healthy, and deletes them
downwards, each when the one before has gone. Wave 0 is what the webhook works with; 1 the Deployment together with the
configuration that has it asked, for replicas are ready only when that trusts them, and serve on for a moment when both are
deleted; 2 what refuses pods or counts as broken while no replica is ready.
*/}}
{{- define "podbadge.wave" -}}
argocd.argoproj.io/sync-wave: {{ . | quote }}
{{- end -}}

{{/* Annotations of a webhook configuration, for (dict "root" $ "annotations" <values>), and `wave` where it has one. */}}
{{- define "podbadge.configurationAnnotations" -}}
{{- $annotations := deepCopy (default dict .annotations) -}}
{{- with .wave }}{{ $annotations = merge $annotations (include "podbadge.wave" . | fromYaml) }}{{ end -}}
{{- if eq .root.Values.tls.mode "cert-manager" -}}
{{- $name := include "podbadge.name" .root -}}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" (printf "%s/%s" .root.Release.Namespace $name) -}}
{{- end -}}
{{- with $annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* What does not go together, in words. */}}
{{- define "podbadge.check" -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and (hasKey . "minAvailable") (hasKey . "maxUnavailable") (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) -}}
{{- fail "podDisruptionBudget: set minAvailable or maxUnavailable, not both" -}}
{{- end -}}
{{- /* A share of the replicas is rounded up. */}}
{{- $replicas := int $.Values.replicaCount -}}
{{- $kept := int64 0 -}}
{{- if not (kindIs "invalid" .minAvailable) -}}
{{- $amount := regexFind "^[0-9]+" (toString .minAvailable) | int -}}
{{- $kept = ternary (div (add (mul $replicas $amount) 99) 100) (int64 $amount) (hasSuffix "%" (toString .minAvailable)) -}}
{{- else if regexMatch "^0+%?$" (toString .maxUnavailable) -}}
{{- $kept = int64 $replicas -}}
{{- end -}}
{{- if and .enabled (gt $replicas 1) (ge $kept (int64 $replicas)) -}}
{{- fail (printf "podDisruptionBudget: all %d replicas would have to stay, so that no node could be drained; minAvailable less than replicaCount, or maxUnavailable 1 at least" $replicas) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "POD_NAME" "POD_NAMESPACE") -}}
{{- fail (printf "extraEnv: %s is the chart's own" .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraVolumes -}}
{{- if eq .name "tls" -}}
{{- fail "extraVolumes: the name tls is the chart's own" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "files") (not .Values.tls.secretName) -}}
{{- fail "tls.mode files needs tls.secretName, a Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and .Values.tls.caBundle (ne .Values.tls.mode "files") -}}
{{- fail (printf "tls.caBundle is for tls.mode files; with %s it is written by somebody else" .Values.tls.mode) -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor and serviceMonitor scrape the same replicas, and everything would be counted twice: enable one of them" -}}
{{- end -}}
{{- $life := include "podbadge.seconds" .Values.tls.selfManaged.duration | int -}}
{{- $caLife := include "podbadge.seconds" .Values.tls.selfManaged.caDuration | int -}}
{{- if or (lt $life 3600) (gt $caLife 315360000) (gt (mul 3 $life) $caLife) -}}
{{- fail (printf "tls.selfManaged: duration %s must be 1h or more and at most a third of caDuration, for none may outlive its authority; caDuration %s at most 87600h" .Values.tls.selfManaged.duration .Values.tls.selfManaged.caDuration) -}}
{{- end -}}
{{- $of := .Values.tls.certManager -}}
{{- $left := include "podbadge.seconds" $of.renewBefore | int -}}
{{- $life = include "podbadge.seconds" $of.duration | int -}}
{{- /* How long an issuer of the operator's is good is not the chart's to know. */}}
{{- $caLife = ternary (include "podbadge.seconds" $of.caDuration | int) $life (empty $of.issuerRef) -}}
{{- if or (ge $left $life) (gt $life $caLife) -}}
{{- fail (printf "tls.certManager: renewBefore %s must be less than duration %s, and that at most caDuration %s" $of.renewBefore $of.duration $of.caDuration) -}}
{{- end -}}
{{- $own := regexFind "[0-9]+$" .Values.metricsAddr | int -}}
{{- if or (lt $own 1) (gt $own 65535) -}}
{{- fail (printf "metricsAddr: port %d must be one of 1 to 65535" $own) -}}
{{- end -}}
{{- $ports := splitList "-" .Values.sidecar.hostNetworkPorts -}}
{{- $first := first $ports | int -}}
{{- $last := last $ports | int -}}
{{- if or (lt $first 1024) (gt $last 65535) (gt $first $last) -}}
{{- fail (printf "sidecar.hostNetworkPorts: %s must be two ports of 1024 to 65535, the lower one first" .Values.sidecar.hostNetworkPorts) -}}
{{- end -}}
{{- if eq $own (int .Values.service.targetPort) -}}
{{- fail (printf "metricsAddr and service.targetPort are both %d" $own) -}}
{{- end -}}
{{- end -}}
